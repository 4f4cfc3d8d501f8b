// What an interface is started with: read from the caller's dictionary, each key checked against
// its mode.
#ifndef VMNET_DOUBLE_SETTINGS_H_
#define VMNET_DOUBLE_SETTINGS_H_

#include <vmnet/vmnet.h>

#include <optional>
#include <string>

#include "netdev.h"
#include "xpc.h"

namespace vmnet_double {

constexpr vmnet_return_t kNotAuthorized = static_cast<vmnet_return_t>(1010);
constexpr uint32_t kDefaultMtu = 1500;
// The least that IPv4 allows (RFC 791), and the most that a TAP takes.
constexpr uint32_t kLeastMtu = 68;
constexpr uint32_t kMostMtu = 65521;

// Apple's DHCP pool: the addresses after the gateway up to the last.
struct Pool {
  Subnet gateway;
  uint32_t last = 0;
};

struct Settings {
  operating_modes_t mode = VMNET_SHARED_MODE;
  std::string bridge;
  std::optional<Uuid> interface_id;
  bool allocate_mac = true;
  uint32_t mtu = kDefaultMtu;
  // Shared and host mode, but for an isolated network: none yet where the caller gave none.
  std::optional<Pool> pool;
  bool has_pool = false;
  bool has_dhcp = false;
  std::optional<Subnet> host;  // of an isolated network
};

bool IsPrivate(uint32_t address);
bool IsMask(uint32_t mask);

// For vmnet_start_interface. Dies of a key that it does not take at all.
vmnet_return_t ReadSettings(xpc_object_t dictionary, Settings* settings);
// For vmnet_interface_start_with_network: what it honours; the rest goes by unseen.
void ReadHonoured(xpc_object_t dictionary, Settings* settings);

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_SETTINGS_H_

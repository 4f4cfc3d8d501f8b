// The Linux side of the double: TAPs, bridges and addresses of the process's network namespace.
#ifndef VMNET_DOUBLE_NETDEV_H_
#define VMNET_DOUBLE_NETDEV_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <vector>

namespace vmnet_double {

// An address within its network, in host byte order.
struct Subnet {
  uint32_t address = 0;
  uint32_t mask = 0;

  bool Overlaps(const Subnet& other) const {
    uint32_t common = mask & other.mask;
    return (address & common) == (other.address & common);
  }
};

// Nothing unless the text is a dotted IPv4 address.
std::optional<uint32_t> ParseIpv4(const std::string& text);
std::string FormatIpv4(uint32_t address);

// The networks that interfaces of this namespace are on; loopback is not one.
std::vector<Subnet> LocalSubnets();
// The bridges of this namespace, by name.
std::vector<std::string> Bridges();

struct Tap {
  int fd = -1;
  std::string name;
  uint8_t mac[6] = {};  // the host's on it
  uint32_t mtu = 0;
};

// Makes a TAP that lives as long as its descriptor (non-blocking) and brings it up: with the host's
// address, or as a port of a bridge whose MTU it takes then. 0, or the errno of what failed; ENODEV
// where there is no such bridge.
int OpenTap(uint32_t mtu, const std::optional<Subnet>& host, const std::string& bridge, Tap* tap);

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_NETDEV_H_

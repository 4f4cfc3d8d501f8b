// The network objects of macOS 26, and looking up by name what is newer than macOS 11.
#include "network.h"

#include <CoreFoundation/CoreFoundation.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "double.h"
#include "messages.h"
#include "start.h"

const char* const vmnet_read_max_packets_key = "the double's vmnet_read_max_packets_key";
const char* const vmnet_write_max_packets_key = "the double's vmnet_write_max_packets_key";

namespace vmnet_double {

namespace {

// What a network is made of, and once it is made, what it keeps from others.
struct Network {
  operating_modes_t mode;
  std::optional<Subnet> subnet;
  bool has_dhcp = true;
  uint32_t mtu = kDefaultMtu;
  bool is_made = false;
};

// A CoreFoundation object is a configuration or a network.
struct Reference {
  std::shared_ptr<Network> network;
};

Registry& References() {
  static Registry& references = *new Registry("a network or its configuration", kLiveNetworks);
  return references;
}

std::vector<std::weak_ptr<Network>>& Networks() {
  static auto& networks = *new std::vector<std::weak_ptr<Network>>;
  return networks;
}

std::mutex& SubnetsMutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

Network* Of(void* reference, bool is_made, const char* function) {
  References().Check(reference, function);
  Network* network = static_cast<Reference*>(reference)->network.get();
  if (network->is_made != is_made) Die("%s: given the other kind of object", function);
  return network;
}

void* NewReference(const Network& network) {
  auto reference = new Reference{std::make_shared<Network>(network)};
  References().Add(reference);
  return reference;
}

void Say(vmnet_return_t* status, vmnet_return_t value) {
  if (status != nullptr) *status = value;
}

// The modes are numbers here, since the SDKs before 26 have no name for their type.
void* ConfigurationCreate(uint32_t mode, vmnet_return_t* status) {
  bool known = mode == VMNET_SHARED_MODE || mode == VMNET_HOST_MODE;
  Say(status, known ? VMNET_SUCCESS : VMNET_INVALID_ARGUMENT);
  if (!known) return nullptr;
  return NewReference({static_cast<operating_modes_t>(mode), std::nullopt});
}

void DisableDhcp(void* configuration) {
  Of(configuration, false, "vmnet_network_configuration_disable_dhcp")->has_dhcp = false;
}

void DisableNat66(void* configuration) {
  Of(configuration, false, "vmnet_network_configuration_disable_nat66");
}

vmnet_return_t SetIpv4Subnet(void* configuration, const struct in_addr* address,
                             const struct in_addr* mask) {
  Network* network = Of(configuration, false, "vmnet_network_configuration_set_ipv4_subnet");
  Subnet subnet = {ntohl(address->s_addr), ntohl(mask->s_addr)};
  if (!IsMask(subnet.mask) || !IsPrivate(subnet.address)) return VMNET_INVALID_ARGUMENT;
  // The network's address, or the host's, which is the one after it: what Apple wants is not known.
  if ((subnet.address & ~subnet.mask) > 1) return VMNET_INVALID_ARGUMENT;
  subnet.address &= subnet.mask;
  network->subnet = subnet;
  return VMNET_SUCCESS;
}

vmnet_return_t SetIpv6Prefix(void* configuration, const struct in6_addr* prefix, uint8_t length) {
  Of(configuration, false, "vmnet_network_configuration_set_ipv6_prefix");
  return length == 64 && prefix->s6_addr[0] == 0xfd ? VMNET_SUCCESS : VMNET_INVALID_ARGUMENT;
}

vmnet_return_t SetMtu(void* configuration, uint32_t mtu) {
  Network* network = Of(configuration, false, "vmnet_network_configuration_set_mtu");
  if (mtu < kLeastMtu || mtu > kMostMtu) return VMNET_INVALID_ARGUMENT;
  network->mtu = mtu;
  return VMNET_SUCCESS;
}

void* NetworkCreate(void* configuration, vmnet_return_t* status) {
  Network network = *Of(configuration, false, "vmnet_network_create");
  std::unique_lock<std::mutex> lock = LockSubnets();
  std::optional<Pool> pool = network.subnet ? std::nullopt : FreePool();
  if (pool) network.subnet = Subnet{pool->gateway.address & pool->gateway.mask, pool->gateway.mask};
  bool free = network.subnet && IsFree(*network.subnet, nullptr);
  Say(status, free ? VMNET_SUCCESS : VMNET_FAILURE);
  if (!free) return nullptr;
  network.is_made = true;
  void* reference = NewReference(network);
  auto& networks = Networks();
  networks.erase(std::remove_if(networks.begin(), networks.end(),
                                [](const auto& each) { return each.expired(); }),
                 networks.end());
  networks.push_back(static_cast<Reference*>(reference)->network);
  return reference;
}

interface_ref StartWithNetwork(void* object, xpc_object_t description, dispatch_queue_t queue,
                               vmnet_start_interface_completion_handler_t handler) {
  const char* function = "vmnet_interface_start_with_network";
  Network* network = Of(object, true, function);
  Settings settings;
  settings.mode = network->mode;
  settings.mtu = network->mtu;
  settings.has_pool = true;
  settings.has_dhcp = network->has_dhcp;
  // The first, the second and the last address are not for stations; the second is the host's.
  uint32_t mask = network->subnet->mask;
  uint32_t first = network->subnet->address;
  settings.pool = Pool{{first + 1, mask}, (first | ~mask) - 1};
  CheckDictionary(description, function);
  ReadHonoured(description, &settings);
  return StartInterface(VMNET_SUCCESS, settings, static_cast<Reference*>(object)->network, queue,
                        handler);
}

struct Symbol {
  const char* name;
  int since;  // the system's major version
  void* address;
};

template <typename T>
void* Address(T* symbol) {
  return reinterpret_cast<void*>(symbol);
}

const Symbol kSymbols[] = {
    {"vmnet_read_max_packets_key", 15, const_cast<char**>(&vmnet_read_max_packets_key)},
    {"vmnet_write_max_packets_key", 15, const_cast<char**>(&vmnet_write_max_packets_key)},
    {"vmnet_network_configuration_create", 26, Address(ConfigurationCreate)},
    {"vmnet_network_configuration_disable_dhcp", 26, Address(DisableDhcp)},
    {"vmnet_network_configuration_disable_nat66", 26, Address(DisableNat66)},
    {"vmnet_network_configuration_set_ipv4_subnet", 26, Address(SetIpv4Subnet)},
    {"vmnet_network_configuration_set_ipv6_prefix", 26, Address(SetIpv6Prefix)},
    {"vmnet_network_configuration_set_mtu", 26, Address(SetMtu)},
    {"vmnet_network_create", 26, Address(NetworkCreate)},
    {"vmnet_interface_start_with_network", 26, Address(StartWithNetwork)},
};

}  // namespace

std::unique_lock<std::mutex> LockSubnets() { return std::unique_lock<std::mutex>(SubnetsMutex()); }

bool IsFree(const Subnet& subnet, const void* own) {
  for (const Subnet& taken : LocalSubnets()) {
    if (taken.Overlaps(subnet)) return false;
  }
  for (const std::weak_ptr<Network>& each : Networks()) {
    std::shared_ptr<Network> network = each.lock();
    if (network != nullptr && network.get() != own && network->subnet->Overlaps(subnet))
      return false;
  }
  return true;
}

std::optional<Pool> FreePool() {
  for (uint32_t third = 64; third < 128; third++) {
    uint32_t network = 0xc0a80000 | third << 8;
    Subnet gateway = {network + 1, 0xffffff00};
    if (IsFree(gateway, nullptr)) return Pool{gateway, network + 254};
  }
  return std::nullopt;
}

}  // namespace vmnet_double

using namespace vmnet_double;

// What the addon's dlsym is in this build. A name that no macOS has is a misspelt one.
extern "C" void* vmnet_double_dlsym(void*, const char* name) noexcept {
  for (const Symbol& symbol : kSymbols) {
    if (strcmp(symbol.name, name) == 0)
      return MacosVersion() >= symbol.since ? symbol.address : nullptr;
  }
  if (IsMessageCall(name)) return FindMessageCall(name);
  Die("dlsym: '%s' is no name that the double knows", name);
}

void CFRelease(CFTypeRef object) {
  References().Check(object, "CFRelease");
  References().Remove(object);
  delete static_cast<const Reference*>(object);
}

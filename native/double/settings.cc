#include "settings.h"

#include <arpa/inet.h>

#include <algorithm>

#include "double.h"

namespace vmnet_double {

// The texts are not Apple's, so that nobody relies on them.
#define KEY(name) name = "the double's " #name
}  // namespace vmnet_double

const char* const KEY(vmnet_operation_mode_key);
const char* const KEY(vmnet_shared_interface_name_key);
const char* const KEY(vmnet_mac_address_key);
const char* const KEY(vmnet_allocate_mac_address_key);
const char* const KEY(vmnet_mtu_key);
const char* const KEY(vmnet_max_packet_size_key);
const char* const KEY(vmnet_interface_id_key);
const char* const KEY(vmnet_start_address_key);
const char* const KEY(vmnet_end_address_key);
const char* const KEY(vmnet_subnet_mask_key);
const char* const KEY(vmnet_nat66_prefix_key);
const char* const KEY(vmnet_estimated_packets_available_key);
const char* const KEY(vmnet_network_identifier_key);
const char* const KEY(vmnet_host_ip_address_key);
const char* const KEY(vmnet_host_subnet_mask_key);
const char* const KEY(vmnet_host_ipv6_address_key);
const char* const KEY(vmnet_enable_tso_key);
const char* const KEY(vmnet_enable_isolation_key);

namespace vmnet_double {

namespace {

// A key's type, and the modes that take it as letters: b(ridged), s(hared), h(ost), and i for host
// mode with a network identifier.
struct KeyRule {
  const char* key;
  char type;  // n(umber), b(ool), s(tring), u(uid)
  const char* modes;
};

const KeyRule kRules[] = {
    {vmnet_operation_mode_key, 'n', "bshi"},
    {vmnet_shared_interface_name_key, 's', "b"},
    {vmnet_allocate_mac_address_key, 'b', "bshi"},
    {vmnet_mtu_key, 'n', "shi"},
    {vmnet_interface_id_key, 'u', "bshi"},
    {vmnet_start_address_key, 's', "sh"},
    {vmnet_end_address_key, 's', "sh"},
    {vmnet_subnet_mask_key, 's', "sh"},
    {vmnet_nat66_prefix_key, 's', "s"},
    {vmnet_network_identifier_key, 'u', "i"},
    {vmnet_host_ip_address_key, 's', "i"},
    {vmnet_host_subnet_mask_key, 's', "i"},
    {vmnet_host_ipv6_address_key, 's', "i"},
    {vmnet_enable_tso_key, 'b', "bshi"},
    {vmnet_enable_isolation_key, 'b', "bshi"},
};

bool IsOfType(xpc_object_t dictionary, const KeyRule& rule) {
  switch (rule.type) {
    case 'n':
      return GetNumber(dictionary, rule.key).has_value();
    case 'b':
      return GetBool(dictionary, rule.key).has_value();
    case 's':
      return GetString(dictionary, rule.key).has_value();
    default:
      return GetUuid(dictionary, rule.key).has_value();
  }
}

bool Allows(xpc_object_t dictionary, char mode) {
  for (const std::string& key : Keys(dictionary)) {
    auto rule = std::find_if(std::begin(kRules), std::end(kRules),
                             [&](const KeyRule& each) { return each.key == key; });
    if (rule == std::end(kRules))
      Die("vmnet_start_interface: '%s' is no key that it takes", key.c_str());
    if (!IsOfType(dictionary, *rule)) return false;
    if (std::string(rule->modes).find(mode) == std::string::npos) return false;
  }
  return true;
}

std::optional<uint32_t> GetIpv4(xpc_object_t dictionary, const char* key) {
  std::optional<std::string> text = GetString(dictionary, key);
  return text ? ParseIpv4(*text) : std::nullopt;
}

bool ReadPool(xpc_object_t dictionary, std::optional<Pool>* pool) {
  int given = Has(dictionary, vmnet_start_address_key) + Has(dictionary, vmnet_end_address_key) +
              Has(dictionary, vmnet_subnet_mask_key);
  if (given == 0) return true;
  std::optional<uint32_t> start = GetIpv4(dictionary, vmnet_start_address_key);
  std::optional<uint32_t> end = GetIpv4(dictionary, vmnet_end_address_key);
  std::optional<uint32_t> mask = GetIpv4(dictionary, vmnet_subnet_mask_key);
  if (!start || !end || !mask || !IsMask(*mask)) return false;
  if (!IsPrivate(*start) || !IsPrivate(*end) || (*start & *mask) != (*end & *mask)) return false;
  // Neither the network's own address nor its broadcast address.
  if ((*start & ~*mask) == 0 || (*end | *mask) == ~uint32_t{0} || *start >= *end) return false;
  *pool = Pool{{*start, *mask}, *end};
  return true;
}

// Both of the host's addresses or none.
bool ReadHost(xpc_object_t dictionary, std::optional<Subnet>* host) {
  bool has_address = Has(dictionary, vmnet_host_ip_address_key);
  if (has_address != Has(dictionary, vmnet_host_subnet_mask_key)) return false;
  if (!has_address) return true;
  std::optional<uint32_t> address = GetIpv4(dictionary, vmnet_host_ip_address_key);
  std::optional<uint32_t> mask = GetIpv4(dictionary, vmnet_host_subnet_mask_key);
  if (!address || !mask || !IsMask(*mask) || !IsPrivate(*address)) return false;
  *host = Subnet{*address, *mask};
  return true;
}

// A /64 of unique local addresses (RFC 4193), written as the network's address.
bool IsNat66Prefix(const std::string& text) {
  struct in6_addr prefix;
  if (inet_pton(AF_INET6, text.c_str(), &prefix) != 1 || prefix.s6_addr[0] != 0xfd) return false;
  return std::all_of(prefix.s6_addr + 8, prefix.s6_addr + 16, [](uint8_t b) { return b == 0; });
}

}  // namespace

bool IsPrivate(uint32_t address) {
  return address >> 24 == 10 || address >> 20 == 0xac1 || address >> 16 == 0xc0a8;
}

bool IsMask(uint32_t mask) {
  // At least a gateway and one more address.
  return (~mask & (~mask + 1)) == 0 && ~mask >= 3 && mask >> 24 == 0xff;
}

void ReadHonoured(xpc_object_t dictionary, Settings* settings) {
  if (GetBool(dictionary, vmnet_enable_tso_key).value_or(false))
    Die("segmentation offload is not simulated");
  settings->allocate_mac = GetBool(dictionary, vmnet_allocate_mac_address_key).value_or(true);
}

vmnet_return_t ReadSettings(xpc_object_t dictionary, Settings* settings) {
  std::optional<uint64_t> mode = GetNumber(dictionary, vmnet_operation_mode_key);
  if (!mode) return VMNET_INVALID_ARGUMENT;
  bool is_isolated = Has(dictionary, vmnet_network_identifier_key);
  char letter = *mode == VMNET_BRIDGED_MODE                ? 'b'
                : *mode == VMNET_SHARED_MODE               ? 's'
                : *mode == VMNET_HOST_MODE && is_isolated  ? 'i'
                : *mode == VMNET_HOST_MODE && !is_isolated ? 'h'
                                                           : '\0';
  if (letter == '\0' || !Allows(dictionary, letter)) return VMNET_INVALID_ARGUMENT;
  settings->mode = static_cast<operating_modes_t>(*mode);
  settings->interface_id = GetUuid(dictionary, vmnet_interface_id_key);
  settings->bridge = GetString(dictionary, vmnet_shared_interface_name_key).value_or("");
  settings->has_pool = letter == 's' || letter == 'h';
  settings->has_dhcp = settings->has_pool;
  if (letter == 'b' && settings->bridge.empty()) return VMNET_INVALID_ARGUMENT;
  uint64_t mtu = GetNumber(dictionary, vmnet_mtu_key).value_or(kDefaultMtu);
  if (mtu < kLeastMtu || mtu > kMostMtu) return VMNET_INVALID_ARGUMENT;
  settings->mtu = static_cast<uint32_t>(mtu);
  std::optional<std::string> prefix = GetString(dictionary, vmnet_nat66_prefix_key);
  if (prefix && !IsNat66Prefix(*prefix)) return VMNET_INVALID_ARGUMENT;
  if (!ReadPool(dictionary, &settings->pool) || !ReadHost(dictionary, &settings->host))
    return VMNET_INVALID_ARGUMENT;
  ReadHonoured(dictionary, settings);
  return VMNET_SUCCESS;
}

}  // namespace vmnet_double

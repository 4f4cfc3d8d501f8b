// Who has which IPv4 network: interfaces of this namespace, and the network objects of macOS 26,
// which reserve theirs.
#ifndef VMNET_DOUBLE_NETWORK_H_
#define VMNET_DOUBLE_NETWORK_H_

#include <mutex>
#include <optional>

#include "settings.h"

// macOS 15: in no header, as callers have to look them up.
extern const char* const vmnet_read_max_packets_key;
extern const char* const vmnet_write_max_packets_key;

namespace vmnet_double {

// Nobody may take a subnet between asking whether it is free and having it.
std::unique_lock<std::mutex> LockSubnets();
// Whether neither an interface nor a network object but `own` has a part of it.
bool IsFree(const Subnet& subnet, const void* own);
// What the framework takes when it is not told: a /24 under 192.168.0.0/16, the host at .1.
std::optional<Pool> FreePool();

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_NETWORK_H_

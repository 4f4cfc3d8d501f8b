// What the double itself does with xpc objects. Strings and dictionaries copy what they are given;
// a dictionary is whole before another thread sees it.
#ifndef VMNET_DOUBLE_XPC_H_
#define VMNET_DOUBLE_XPC_H_

#include <xpc/xpc.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace vmnet_double {

using Uuid = std::array<uint8_t, 16>;

void CheckDictionary(xpc_object_t object, const char* function);
xpc_object_t MakeStringArray(const std::vector<std::string>& strings);

std::vector<std::string> Keys(xpc_object_t dictionary);
// Nothing where the key is absent or of another type; Has tells these apart.
bool Has(xpc_object_t dictionary, const char* key);
std::optional<uint64_t> GetNumber(xpc_object_t dictionary, const char* key);
std::optional<bool> GetBool(xpc_object_t dictionary, const char* key);
std::optional<std::string> GetString(xpc_object_t dictionary, const char* key);
std::optional<Uuid> GetUuid(xpc_object_t dictionary, const char* key);

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_XPC_H_

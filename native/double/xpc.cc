#include "xpc.h"

#include <string.h>

#include <map>
#include <variant>

#include "double.h"

namespace vmnet_double {

namespace {

using Value = std::variant<uint64_t, bool, std::string, Uuid>;

// A dictionary, or an array of strings. Nobody keeps one that is not his: there is no xpc_retain.
struct Object {
  bool is_array = false;
  std::map<std::string, Value> values;
  std::vector<std::string> strings;
};

Registry& Objects() {
  static Registry& objects = *new Registry("an xpc object", kLiveXpcObjects);
  return objects;
}

Object* Make(bool is_array) {
  auto object = new Object;
  object->is_array = is_array;
  Objects().Add(object);
  return object;
}

Object* Of(xpc_object_t object, bool is_array, const char* function) {
  Objects().Check(object, function);
  auto found = static_cast<Object*>(object);
  if (found->is_array != is_array) Die("%s: given another kind of object", function);
  return found;
}

void Set(xpc_object_t dictionary, const char* key, Value value, const char* function) {
  Of(dictionary, false, function)->values.insert_or_assign(key, std::move(value));
}

template <typename T>
const T* Find(xpc_object_t dictionary, const char* key, const char* function) {
  const auto& values = Of(dictionary, false, function)->values;
  auto found = values.find(key);
  return found == values.end() ? nullptr : std::get_if<T>(&found->second);
}

template <typename T>
std::optional<T> Get(xpc_object_t dictionary, const char* key) {
  const T* value = Find<T>(dictionary, key, "vmnet");
  return value == nullptr ? std::nullopt : std::optional<T>(*value);
}

}  // namespace

void CheckDictionary(xpc_object_t object, const char* function) { Of(object, false, function); }

xpc_object_t MakeStringArray(const std::vector<std::string>& strings) {
  Object* array = Make(true);
  array->strings = strings;
  return array;
}

std::vector<std::string> Keys(xpc_object_t dictionary) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : Of(dictionary, false, "vmnet")->values) keys.push_back(key);
  return keys;
}

bool Has(xpc_object_t dictionary, const char* key) {
  return Of(dictionary, false, "vmnet")->values.count(key) > 0;
}

std::optional<uint64_t> GetNumber(xpc_object_t dictionary, const char* key) {
  return Get<uint64_t>(dictionary, key);
}

std::optional<bool> GetBool(xpc_object_t dictionary, const char* key) {
  return Get<bool>(dictionary, key);
}

std::optional<std::string> GetString(xpc_object_t dictionary, const char* key) {
  return Get<std::string>(dictionary, key);
}

std::optional<Uuid> GetUuid(xpc_object_t dictionary, const char* key) {
  return Get<Uuid>(dictionary, key);
}

}  // namespace vmnet_double

using namespace vmnet_double;

xpc_object_t xpc_dictionary_create(const char* const*, const xpc_object_t*, size_t count) {
  if (count > 0) Die("xpc_dictionary_create: only empty dictionaries are simulated");
  return Make(false);
}

void xpc_dictionary_set_uint64(xpc_object_t xdict, const char* key, uint64_t value) {
  Set(xdict, key, value, "xpc_dictionary_set_uint64");
}

void xpc_dictionary_set_string(xpc_object_t xdict, const char* key, const char* string) {
  Set(xdict, key, std::string(string), "xpc_dictionary_set_string");
}

void xpc_dictionary_set_bool(xpc_object_t xdict, const char* key, bool value) {
  Set(xdict, key, value, "xpc_dictionary_set_bool");
}

void xpc_dictionary_set_uuid(xpc_object_t xdict, const char* key, const uuid_t uuid) {
  Uuid value;
  memcpy(value.data(), uuid, value.size());
  Set(xdict, key, value, "xpc_dictionary_set_uuid");
}

uint64_t xpc_dictionary_get_uint64(xpc_object_t xdict, const char* key) {
  const uint64_t* value = Find<uint64_t>(xdict, key, "xpc_dictionary_get_uint64");
  return value == nullptr ? 0 : *value;
}

const char* xpc_dictionary_get_string(xpc_object_t xdict, const char* key) {
  const std::string* value = Find<std::string>(xdict, key, "xpc_dictionary_get_string");
  return value == nullptr ? nullptr : value->c_str();
}

const uint8_t* xpc_dictionary_get_uuid(xpc_object_t xdict, const char* key) {
  const Uuid* value = Find<Uuid>(xdict, key, "xpc_dictionary_get_uuid");
  return value == nullptr ? nullptr : value->data();
}

size_t xpc_array_get_count(xpc_object_t xarray) {
  return Of(xarray, true, "xpc_array_get_count")->strings.size();
}

const char* xpc_array_get_string(xpc_object_t xarray, size_t index) {
  const auto& strings = Of(xarray, true, "xpc_array_get_string")->strings;
  if (index >= strings.size()) Die("xpc_array_get_string: no element %zu", index);
  return strings[index].c_str();
}

void xpc_release(xpc_object_t object) {
  Objects().Check(object, "xpc_release");
  Objects().Remove(object);
  delete static_cast<Object*>(object);
}

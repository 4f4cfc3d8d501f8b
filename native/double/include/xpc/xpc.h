// Apple's <xpc/xpc.h> as far as vmnet's callers here need it; the code is native/double/xpc.cc.
#ifndef VMNET_DOUBLE_XPC_XPC_H_
#define VMNET_DOUBLE_XPC_XPC_H_

#include <stddef.h>
#include <stdint.h>
#include <uuid/uuid.h>

typedef void* xpc_object_t;

#define XPC_WARN_RESULT __attribute__((__warn_unused_result__))

extern "C" {
#pragma clang assume_nonnull begin

XPC_WARN_RESULT xpc_object_t xpc_dictionary_create(const char* _Nonnull const* _Nullable keys,
                                                   const xpc_object_t _Nullable* _Nullable values,
                                                   size_t count);
void xpc_dictionary_set_uint64(xpc_object_t xdict, const char* key, uint64_t value);
void xpc_dictionary_set_string(xpc_object_t xdict, const char* key, const char* string);
void xpc_dictionary_set_bool(xpc_object_t xdict, const char* key, bool value);
void xpc_dictionary_set_uuid(xpc_object_t xdict, const char* key, const uuid_t _Nonnull uuid);
XPC_WARN_RESULT uint64_t xpc_dictionary_get_uint64(xpc_object_t xdict, const char* key);
XPC_WARN_RESULT const char* _Nullable xpc_dictionary_get_string(xpc_object_t xdict,
                                                                const char* key);
XPC_WARN_RESULT const uint8_t* _Nullable xpc_dictionary_get_uuid(xpc_object_t xdict,
                                                                 const char* key);
XPC_WARN_RESULT size_t xpc_array_get_count(xpc_object_t xarray);
XPC_WARN_RESULT const char* _Nullable xpc_array_get_string(xpc_object_t xarray, size_t index);
void xpc_release(xpc_object_t object);

#pragma clang assume_nonnull end
}

#endif  // VMNET_DOUBLE_XPC_XPC_H_

#include "uv_api.h"

#if defined(__APPLE__) || defined(VMBRIDGE_VMNET_DOUBLE)
#define VMBRIDGE_UV_BY_NAME
// The stand-in for vmnet.framework has one of its own, for the framework's symbols.
#undef dlsym
#include <dlfcn.h>
#endif

namespace vmbridge {

namespace {

#ifdef VMBRIDGE_UV_BY_NAME
template <typename Function>
void Find(const char* name, Function* function, const char** missing) {
  *function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  if (*function == nullptr && *missing == nullptr) *missing = name;
}

UvApi Load() {
  UvApi api = {};
  Find("uv_close", &api.close, &api.missing);
  Find("uv_err_name", &api.err_name, &api.missing);
  Find("uv_hrtime", &api.hrtime, &api.missing);
  Find("uv_now", &api.now, &api.missing);
  Find("uv_poll_init", &api.poll_init, &api.missing);
  Find("uv_poll_start", &api.poll_start, &api.missing);
  return api;
}
#else
UvApi Load() {
  return {uv_close, uv_err_name, uv_hrtime, uv_now, uv_poll_init, uv_poll_start, nullptr};
}
#endif

}  // namespace

const UvApi& Uv() {
  // Addresses of the process: the same for every environment.
  static const UvApi api = Load();
  return api;
}

}  // namespace vmbridge

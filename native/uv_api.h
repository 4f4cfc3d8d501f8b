// The functions of libuv that the addon takes from the Node that loads it (poller_linux.cc takes
// more, directly).
//
// On macOS by name: an addon's symbols are all looked up when it is loaded there, so a misspelt one
// hides until then. With these out of the way only N-API is left, which scripts/check-darwin can
// hold to. And a Node that lacks one says which.
#ifndef VMBRIDGE_UV_API_H_
#define VMBRIDGE_UV_API_H_

#include <uv.h>

namespace vmbridge {

struct UvApi {
  decltype(&uv_close) close;
  decltype(&uv_err_name) err_name;
  decltype(&uv_hrtime) hrtime;
  decltype(&uv_now) now;
  decltype(&uv_poll_init) poll_init;
  decltype(&uv_poll_start) poll_start;
  // The first that this Node lacks: none of the others may be called then.
  const char* missing;
};

const UvApi& Uv();

}  // namespace vmbridge

#endif  // VMBRIDGE_UV_API_H_

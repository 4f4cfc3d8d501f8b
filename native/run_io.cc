#include "run_io.h"

#include <errno.h>
#include <unistd.h>

namespace vmbridge {

void RunIo::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 6 || !info[0].IsNumber() || !info[1].IsTypedArray() ||
      !info[2].IsTypedArray() || !info[3].IsTypedArray() || !info[4].IsFunction() ||
      !info[5].IsFunction()) {
    Napi::TypeError::New(env, "expected (fd, run, stretches, counters, onRun, onEnd)")
        .ThrowAsJavaScriptException();
    return;
  }
  auto run = info[1].As<Napi::Uint8Array>();
  auto stretches = info[2].As<Napi::Int32Array>();
  auto counters = info[3].As<Napi::Float64Array>();
  run_ = run.Data();
  run_capacity_ = run.ByteLength();
  stretches_ = reinterpret_cast<const Stretch*>(stretches.Data());
  counters_ = counters.Data();
  run_reference_ = Napi::Persistent(run);
  stretches_reference_ = Napi::Persistent(stretches);
  counters_reference_ = Napi::Persistent(counters);
  on_run_ = Napi::Persistent(info[4].As<Napi::Function>());
  on_end_ = Napi::Persistent(info[5].As<Napi::Function>());

  int fd = info[0].As<Napi::Number>().Int32Value();
  if (!Poll(env, fd, kReadable)) {
    ThrowSystemError(env, errno, "uv_poll");
    return;
  }
  fd_ = fd;
  self_ = Napi::Persistent(info.This().As<Napi::Object>());
}

int64_t RunIo::Walk(Napi::Env env, size_t length) {
  napi_value end = Napi::Number::New(env, static_cast<double>(length));
  napi_value answer = CallPlain(env, on_run_, 1, &end);
  if (!open()) return -1;
  int64_t used = -1;
  if (answer == nullptr || napi_get_value_int64(env, answer, &used) != napi_ok || used < 0 ||
      static_cast<size_t>(used) > length) {
    End(env, "framing");
    return -1;
  }
  return used;
}

void RunIo::End(Napi::Env env, const char* reason) {
  if (!open()) return;
  Release();
  CallWithScope(env, on_end_, {Napi::String::New(env, reason)});
}

void RunIo::Release() {
  if (!open()) return;
  Unpoll();
  close(fd_);
  fd_ = -1;
  OnRelease();
  self_.Reset();
}

}  // namespace vmbridge

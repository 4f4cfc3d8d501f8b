#include "run_io.h"

#include <errno.h>
#include <unistd.h>

#include <utility>

#include "counters.h"
#include "environment.h"

namespace vmbridge {

namespace {
bool IsArray(const Napi::Value& value, napi_typedarray_type type, size_t least) {
  if (!value.IsTypedArray()) return false;
  auto array = value.As<Napi::TypedArray>();
  return array.TypedArrayType() == type && array.ElementLength() >= least;
}

constexpr char kArguments[] = "expected (fd, run, departures, stretches, counters, onRun, onEnd)";
}  // namespace

int Slots::Take(RunIo* io) {
  size_t slot = 0;
  while (slot < table_.size() && table_[slot] != nullptr) slot++;
  if (slot == table_.size()) table_.push_back(nullptr);
  table_[slot] = io;
  return static_cast<int>(slot);
}

RunIo* Slots::At(int slot) const {
  return slot >= 0 && static_cast<size_t>(slot) < table_.size() ? table_[static_cast<size_t>(slot)]
                                                                : nullptr;
}

void RunIo::Open(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) {
    Napi::TypeError::New(info.Env(), kArguments).ThrowAsJavaScriptException();
    return;
  }
  OpenOn(info[0].As<Napi::Number>().Int32Value(), info);
}

void RunIo::OpenOn(int fd, const Napi::CallbackInfo& info, int events) {
  Napi::Env env = info.Env();
  if (info.Length() != 7 || !IsArray(info[1], napi_uint8_array, kLengthBytes + kMaxFrame) ||
      !IsArray(info[2], napi_int32_array, 1) ||
      !IsArray(info[3], napi_int32_array, 2 * kMaxStretches) ||
      !IsArray(info[4], napi_float64_array, kCounters) || !info[5].IsFunction() ||
      !info[6].IsFunction()) {
    Napi::TypeError::New(env, kArguments).ThrowAsJavaScriptException();
    return;
  }
  auto run = info[1].As<Napi::Uint8Array>();
  auto departures = info[2].As<Napi::Int32Array>();
  auto stretches = info[3].As<Napi::Int32Array>();
  auto counters = info[4].As<Napi::Float64Array>();
  run_ = run.Data();
  run_capacity_ = run.ByteLength();
  departures_ = departures.Data();
  departures_length_ = departures.ElementLength();
  stretches_ = reinterpret_cast<const Stretch*>(stretches.Data());
  counters_ = counters.Data();
  run_reference_ = Napi::Persistent(run);
  departures_reference_ = Napi::Persistent(departures);
  stretches_reference_ = Napi::Persistent(stretches);
  counters_reference_ = Napi::Persistent(counters);
  on_run_ = Napi::Persistent(info[5].As<Napi::Function>());
  on_end_ = Napi::Persistent(info[6].As<Napi::Function>());

  if (!Poll(env, fd, events)) {
    ThrowSystemError(env, errno, "poll");
    return;
  }
  fd_ = fd;
  slots_ = env.GetInstanceData<Environment>()->slots;
  slot_ = slots_->Take(this);
  self_ = Napi::Persistent(info.This().As<Napi::Object>());
}

void RunIo::TransmitCall(const Napi::CallbackInfo& info) {
  auto run = info[0].As<Napi::Uint8Array>();
  int count = info[1].As<Napi::Number>().Int32Value();
  if (count > 0 && count <= kMaxStretches) {
    Send(run.Data(), count, info[2].As<Napi::Number>().Int64Value());
  }
}

int64_t RunIo::Walk(Napi::Env env, size_t end, size_t from) {
  napi_value arguments[] = {Napi::Number::New(env, static_cast<double>(end)),
                            Napi::Number::New(env, LoopTime(env)),
                            Napi::Number::New(env, static_cast<double>(from))};
  napi_value answer = CallPlain(env, on_run_, 3, arguments);
  if (answer != nullptr) Depart();
  if (!open()) return -1;
  int64_t used = -1;
  if (answer == nullptr || napi_get_value_int64(env, answer, &used) != napi_ok || used < 0 ||
      static_cast<size_t>(used) > end) {
    End(env, "framing");
    return -1;
  }
  return used;
}

void RunIo::Depart() {
  const int32_t* at = departures_ + 1;
  const int32_t* end = departures_ + departures_length_;
  for (int32_t left = departures_[0]; left > 0 && at + 3 <= end; left--, at += 3) {
    RunIo* io = slots_->At(at[0]);
    if (io != nullptr && at[1] > 0 && at[1] <= kMaxStretches) io->Send(run_, at[1], at[2]);
  }
}

void RunIo::End(Napi::Env env, const char* reason) {
  if (!open()) return;
  Napi::FunctionReference on_end = std::move(on_end_);
  Release();
  CallWithScope(env, on_end, {Napi::String::New(env, reason)});
}

void RunIo::Release() {
  if (!open()) return;
  Unpoll();
  close(fd_);
  fd_ = -1;
  slots_->Free(slot_);
  OnRelease();
  // The callbacks hold the port, and the port this object: while one is held here, none is ever
  // collected.
  on_run_.Reset();
  on_end_.Reset();
  self_.Reset();
}

}  // namespace vmbridge

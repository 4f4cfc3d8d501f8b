#include "control.h"

#include <atomic>
#include <limits>
#include <string>
#include <thread>

#include "dispatch.h"
#include "double.h"
#include "faults.h"
#include "interface.h"

namespace vmnet_double {

namespace {

volatile int cell;

// Defects on purpose, so that a test sees a sanitizer find them.
void Race() {
  static std::atomic<bool> done;
  cell = 0;
  done = false;
  dispatch_queue_t queue = dispatch_queue_create("race", nullptr);
  Dispatch(queue, [] {
    cell = 1;
    done.store(true, std::memory_order_relaxed);
  });
  cell = 2;
  // Relaxed: to wait must not put the two in order.
  while (!done.load(std::memory_order_relaxed)) std::this_thread::yield();
  dispatch_release(queue);
}

void UseAfterFree() {
  auto freed = new volatile int(1);
  delete freed;
  *freed = 2;
}

void Overflow() {
  cell = 1;
  cell = cell + std::numeric_limits<int>::max();
}

bool MakeDefect(const std::string& text) {
  if (text == "bug=race")
    Race();
  else if (text == "bug=use-after-free")
    UseAfterFree();
  else if (text == "bug=overflow")
    Overflow();
  else
    return false;
  return true;
}

}  // namespace

Napi::Value Control(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string text = info[0].ToString().Utf8Value();
  if (text == "stats") return Napi::String::New(env, StatsText());
  if (MakeDefect(text)) return env.Undefined();
  Faults faults;
  std::string error;
  if (!ParseFaults(text, &faults, &error)) {
    Napi::TypeError::New(env, error).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  SetLaterFaults(faults);
  vmnet_interface::SetFaults(faults);
  return env.Undefined();
}

}  // namespace vmnet_double

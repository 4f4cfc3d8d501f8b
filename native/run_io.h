// What every reader and writer of framed runs shares: the run buffer of the network, the port's
// stretches and counters (memory that JavaScript owns), the two callbacks, and the descriptor with
// its readiness.
#ifndef VMBRIDGE_RUN_IO_H_
#define VMBRIDGE_RUN_IO_H_

#include <napi.h>

#include "frames.h"
#include "poller.h"

namespace vmbridge {

class RunIo : protected Handler {
 public:
  static constexpr int kMaxStretches = 1024;  // MAX_STRETCHES in src/switch/port.ts, and IOV_MAX

 protected:
  // Takes the constructor arguments that all share: (fd, run: Uint8Array, stretches: Int32Array,
  // counters: Float64Array, onRun: (end) => used | negative, onEnd: (reason) => void), and starts
  // polling. Owns `fd`, which must be non-blocking, unless it throws.
  void Open(const Napi::CallbackInfo& info);

  // Lets JavaScript walk the first `length` bytes of the run buffer. Returns the bytes it used, or
  // -1 when the port has ended: closed by the call, or its framing broken. The caller holds a
  // handle scope and this object.
  int64_t Walk(Napi::Env env, size_t length);

  // The port ends by itself: lets go of the descriptor, then tells JavaScript why.
  void End(Napi::Env env, const char* reason);
  // Closes the descriptor; OnRelease frees what only an open port needs.
  void Release();
  virtual void OnRelease() {}

  bool open() const { return fd_ >= 0; }
  void Count(int counter, int64_t amount) { counters_[counter] += static_cast<double>(amount); }

  int fd_ = -1;
  uint8_t* run_ = nullptr;
  size_t run_capacity_ = 0;
  const Stretch* stretches_ = nullptr;

 private:
  double* counters_ = nullptr;
  // Keep the borrowed memory alive as long as this object.
  Napi::Reference<Napi::Uint8Array> run_reference_;
  Napi::Reference<Napi::Int32Array> stretches_reference_;
  Napi::Reference<Napi::Float64Array> counters_reference_;
  Napi::FunctionReference on_run_;
  Napi::FunctionReference on_end_;
  // An open port is alive whether JavaScript holds it or not, as Node's own sockets are.
  Napi::ObjectReference self_;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_RUN_IO_H_

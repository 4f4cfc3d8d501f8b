// What every reader and writer of framed runs shares: the run buffer of the network, the port's
// stretches and counters (memory that JavaScript owns), the two callbacks, and the descriptor with
// its readiness.
//
// A run costs one call into JavaScript. What is to be sent afterwards JavaScript leaves in
// `departures`, an Int32Array that all ports of a network share: the number of ports, then (slot,
// stretches, frames) for each. A slot is the place of a port in the environment's table. So there
// is no call back into native code for each port.
#ifndef VMBRIDGE_RUN_IO_H_
#define VMBRIDGE_RUN_IO_H_

#include <napi.h>

#include <memory>
#include <vector>

#include "frames.h"
#include "poller.h"

namespace vmbridge {

class RunIo;

// The open ports of an environment, by slot; a slot that was freed is given again.
class Slots {
 public:
  int Take(RunIo* io);
  void Free(int slot) { table_[static_cast<size_t>(slot)] = nullptr; }
  RunIo* At(int slot) const;

 private:
  std::vector<RunIo*> table_;
};

class RunIo : protected Handler {
 public:
  static constexpr int kMaxStretches = 1024;  // MAX_STRETCHES in src/switch/port.ts, and IOV_MAX

 protected:
  // Takes the constructor arguments that all share: (fd, run: Uint8Array, departures: Int32Array,
  // stretches: Int32Array, counters: Float64Array, onRun: (end, now, from) => used | negative,
  // onEnd: (reason) => void), and starts polling. `now` is the loop's time in ms. Owns `fd`, which
  // must be non-blocking, unless it throws.
  void Open(const Napi::CallbackInfo& info);
  // The same with a descriptor that is known here, whatever the first argument is.
  void OpenOn(int fd, const Napi::CallbackInfo& info, int events = kReadable);

  // Sends the first `count` stretches of the port's list, `frames` frames, out of `run`, and counts
  // what was sent and what was dropped.
  virtual void Send(const uint8_t* run, int count, int64_t frames) = 0;

  // What JavaScript calls on every port: transmit(run: Uint8Array, stretches, frames).
  void TransmitCall(const Napi::CallbackInfo& info);

  // Lets JavaScript walk the run buffer `from` there to `end`, and sends what departs. Returns the
  // end of what it used, or -1 when the port has ended: closed by the call, or its framing broken.
  // The caller holds a handle scope and this object.
  int64_t Walk(Napi::Env env, size_t end, size_t from = 0);

  // The port ends by itself: lets go of the descriptor, then tells JavaScript why.
  void End(Napi::Env env, const char* reason);
  // Closes the descriptor; OnRelease frees what only an open port needs.
  void Release();
  virtual void OnRelease() {}

  bool open() const { return fd_ >= 0; }
  int slot() const { return slot_; }
  void Count(int counter, int64_t amount) { counters_[counter] += static_cast<double>(amount); }

  int fd_ = -1;
  uint8_t* run_ = nullptr;
  size_t run_capacity_ = 0;
  const Stretch* stretches_ = nullptr;

 private:
  void Depart();

  double* counters_ = nullptr;
  int slot_ = -1;
  std::shared_ptr<Slots> slots_;  // shared, as the environment may be torn down before its ports
  const int32_t* departures_ = nullptr;
  size_t departures_length_ = 0;
  // Keep the borrowed memory alive as long as this object.
  Napi::Reference<Napi::Uint8Array> run_reference_;
  Napi::Reference<Napi::Int32Array> departures_reference_;
  Napi::Reference<Napi::Int32Array> stretches_reference_;
  Napi::Reference<Napi::Float64Array> counters_reference_;
  Napi::FunctionReference on_run_;
  Napi::FunctionReference on_end_;
  // An open port is alive whether JavaScript holds it or not, as Node's own sockets are.
  Napi::ObjectReference self_;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_RUN_IO_H_

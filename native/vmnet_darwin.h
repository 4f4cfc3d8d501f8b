// The vmnet uplink as JavaScript sees it: VmnetInterface starts and stops an interface of the
// framework, VmnetIo moves its frames as framed runs. One vmnet_read or vmnet_write carries up to
// 128 frames, straight from and into runs.
//
// In: the framework wants a buffer for each packet before it knows their lengths, so the run is
// laid out in slots of one length and one largest packet; the switch steps from slot to slot
// (Port.slotBytes). Full-sized frames touch.
//
// Out: what the kernel's buffers do not take is tried again a few times with short pauses, then
// dropped and counted: the frames of all VMs wait meanwhile.
#ifndef VMBRIDGE_VMNET_DARWIN_H_
#define VMBRIDGE_VMNET_DARWIN_H_

#include <napi.h>

#include <memory>
#include <vector>

#include "run_io.h"
#include "vmnet_session_darwin.h"

namespace vmbridge {

// new VmnetInterface(options, onReport: (state, status, call) => void): begins to start an
// interface. `state` is `running`, `failed` or `stopped`; `status` is a vmnet_return_t, or 0 when
// the framework gave none; `call` the function that it is of.
class VmnetInterface : public Napi::ObjectWrap<VmnetInterface>, private Handler {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit VmnetInterface(const Napi::CallbackInfo& info);
  ~VmnetInterface() override;

  // The session behind a value that JavaScript passes; null for anything else.
  static std::shared_ptr<VmnetSession> Of(const Napi::Value& value);

 private:
  Napi::Value Parameters(const Napi::CallbackInfo& info);
  void Stop(const Napi::CallbackInfo&);
  void Abandon(const Napi::CallbackInfo&) { Release(); }
  void OnReady(int events, bool failed) override;
  void Release();

  std::shared_ptr<VmnetSession> session_;
  int control_fd_ = -1;
  Napi::FunctionReference on_report_;
  // Alive until it has stopped, failed or been abandoned, whether JavaScript holds it or not.
  Napi::ObjectReference self_;
};

class VmnetIo : public Napi::ObjectWrap<VmnetIo>, private RunIo {
 public:
  static Napi::Function Define(Napi::Env env);

  // The arguments of RunIo::Open, with a running VmnetInterface in place of a descriptor.
  explicit VmnetIo(const Napi::CallbackInfo& info);
  ~VmnetIo() override;

 private:
  void Transmit(const Napi::CallbackInfo& info) { TransmitCall(info); }
  void Close(const Napi::CallbackInfo&) { Release(); }
  // Reads as if packets had been announced: an interface that went away may say so in no other way.
  void Check(const Napi::CallbackInfo&);
  // The number by which `departures` names this port.
  Napi::Value Slot(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), slot()); }
  // The distance of frames in a run of this port.
  Napi::Value SlotBytes(const Napi::CallbackInfo& info);

  void Send(const uint8_t* run, int count, int64_t frames) override;
  void OnReady(int events, bool failed) override;
  void OnRelease() override;
  // One vmnet_read; returns the number of frames, or -1 with `status_`.
  int Receive();
  // One batch; returns how many of its packets were taken.
  int Write(int count, int* retries);

  std::shared_ptr<VmnetSession> session_;
  size_t max_packet_ = 0;
  size_t slot_bytes_ = 0;
  int read_batch_ = 0;
  int write_batch_ = 0;
  // The kernel's buffers were full at the last write: no pauses until they take something.
  bool exhausted_ = false;
  vmnet_return_t status_ = VMNET_SUCCESS;  // what ended the port
  std::vector<struct vmpktdesc> packets_;
  std::vector<struct iovec> buffers_;
};

// vmnetSharedInterfaces() => string[] | undefined: what can be bridged.
Napi::Value SharedInterfaces(const Napi::CallbackInfo& info);
// vmnetHasNetworkObjects() => boolean: macOS 26.
Napi::Value HasNetworkObjects(const Napi::CallbackInfo& info);

}  // namespace vmbridge

#endif  // VMBRIDGE_VMNET_DARWIN_H_

// The frames of an interface of vmnet.framework (vmnet_interface_darwin.h) as framed runs. One
// vmnet_read or vmnet_write carries up to 128 frames, straight from and into runs.
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
#include "vmnet_interface_darwin.h"

namespace vmbridge {

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

}  // namespace vmbridge

#endif  // VMBRIDGE_VMNET_DARWIN_H_

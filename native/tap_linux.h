// The Linux TAP: makes and sets up the device (in another network namespace when asked), and reads
// and writes its frames as framed runs. One system call a frame is what a TAP offers; the walk and
// the crossing into JavaScript are still once for all frames that were waiting.
#ifndef VMBRIDGE_TAP_LINUX_H_
#define VMBRIDGE_TAP_LINUX_H_

#include <napi.h>

#include "run_io.h"

namespace vmbridge {

class TapIo : public Napi::ObjectWrap<TapIo>, private RunIo {
 public:
  static Napi::Function Define(Napi::Env env);

  // The arguments of RunIo::Open; the descriptor is one from OpenTap.
  explicit TapIo(const Napi::CallbackInfo& info);
  ~TapIo() override;

 private:
  void Transmit(const Napi::CallbackInfo& info) { TransmitCall(info); }
  void Close(const Napi::CallbackInfo&) { Release(); }
  // The number by which `departures` names this port.
  Napi::Value Slot(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), slot()); }

  void Send(const uint8_t* run, int count, int64_t frames) override;
  void OnReady(int events, bool failed) override;
};

// openTap({name, mtu, address?, prefix?, mac?, netns?, bridge?}) => {fd, name, mac, mtu}: makes a
// TAP that lives as long as its descriptor, sets MTU, MAC and IPv4 address (a number, host byte
// order, and a prefix length) and brings it up. `name` may hold %d for the kernel to fill. `netns`
// is the path of a network namespace. `bridge` names a bridge of the host that the TAP becomes a
// port of: the MTU is then the bridge's. Of a device that was there before and stays when it is
// closed, `former` is its {address, mask, isUp}. Throws a system error whose `syscall` names the
// step.
Napi::Value OpenTap(const Napi::CallbackInfo& info);

// leaveTap(name, address, former): gives a device that stays what it had before, where it still has
// `address`. What the system refuses is left.
Napi::Value LeaveTap(const Napi::CallbackInfo& info);

}  // namespace vmbridge

#endif  // VMBRIDGE_TAP_LINUX_H_

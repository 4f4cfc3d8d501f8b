// Starting and stopping an interface of vmnet.framework, as JavaScript sees it, and what else the
// framework is asked.
#ifndef VMBRIDGE_VMNET_INTERFACE_DARWIN_H_
#define VMBRIDGE_VMNET_INTERFACE_DARWIN_H_

#include <napi.h>

#include <memory>

#include "poller.h"
#include "vmnet_session_darwin.h"

namespace vmbridge {

// new VmnetInterface(options, onReport: (state, status, call, bridgeable) => void): begins to start
// an interface. `state` is `running`, `failed` or `stopped`; `status` is a vmnet_return_t, or 0
// when the framework gave none; `call` the function that it is of; `bridgeable` what can be bridged
// where that was why.
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

// vmnetSharedInterfaces() => string[] | undefined: what can be bridged.
Napi::Value SharedInterfaces(const Napi::CallbackInfo& info);
// vmnetHasNetworkObjects() => boolean: macOS 26.
Napi::Value HasNetworkObjects(const Napi::CallbackInfo& info);

}  // namespace vmbridge

#endif  // VMBRIDGE_VMNET_INTERFACE_DARWIN_H_

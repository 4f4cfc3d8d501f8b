// What the addon exports: names only, everything else is in the files behind them. src/native.ts
// gives the types.
#include <napi.h>

#include <string>

#include "dgram_io.h"
#include "dgram_socket.h"
#include "environment.h"
#include "link.h"
#include "process.h"
#include "stream_io.h"
#include "unix_datagram.h"
#include "unix_socket.h"
#include "uv_api.h"
#ifdef __linux__
#include "tap_linux.h"
#endif
#if defined(__APPLE__) || defined(VMBRIDGE_VMNET_DOUBLE)
#define VMBRIDGE_VMNET
#include "vmnet_darwin.h"
#endif
#ifdef VMBRIDGE_VMNET_DOUBLE
#include "double/control.h"
#endif

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  if (vmbridge::Uv().missing != nullptr) {
    Napi::Error::New(env, std::string("this Node does not export ") + vmbridge::Uv().missing)
        .ThrowAsJavaScriptException();
    return exports;
  }
  env.SetInstanceData(new vmbridge::Environment(env));
  exports.Set("StreamIo", vmbridge::StreamIo::Define(env));
  exports.Set("DgramIo", vmbridge::DgramIo::Define(env));
  exports.Set("DgramSocket", vmbridge::DgramSocket::Define(env));
  exports.Set("bindDatagram", Napi::Function::New<vmbridge::BindDatagram>(env, "bindDatagram"));
  exports.Set("askForDatagrams",
              Napi::Function::New<vmbridge::AskForDatagrams>(env, "askForDatagrams"));
  exports.Set("Listener", vmbridge::Listener::Define(env));
  exports.Set("listen", Napi::Function::New<vmbridge::Listen>(env, "listen"));
  exports.Set("dial", Napi::Function::New<vmbridge::Dial>(env, "dial"));
  exports.Set("peerCredentials",
              Napi::Function::New<vmbridge::PeerCredentials>(env, "peerCredentials"));
  exports.Set("exitNow", Napi::Function::New<vmbridge::ExitNow>(env, "exitNow"));
  exports.Set("ownArguments", Napi::Function::New<vmbridge::OwnArguments>(env, "ownArguments"));
  exports.Set("exec", Napi::Function::New<vmbridge::Exec>(env, "exec"));
  exports.Set("now", Napi::Function::New<vmbridge::Now>(env, "now"));
  exports.Set("lock", Napi::Function::New<vmbridge::Lock>(env, "lock"));
  exports.Set("sleptFor", Napi::Function::New<vmbridge::SleptFor>(env, "sleptFor"));
  exports.Set("linkOf", Napi::Function::New<vmbridge::LinkOf>(env, "linkOf"));
  exports.Set("userOf", Napi::Function::New<vmbridge::UserOf>(env, "userOf"));
  exports.Set("groupId", Napi::Function::New<vmbridge::GroupId>(env, "groupId"));
#ifdef __linux__
  exports.Set("TapIo", vmbridge::TapIo::Define(env));
  exports.Set("openTap", Napi::Function::New<vmbridge::OpenTap>(env, "openTap"));
  exports.Set("leaveTap", Napi::Function::New<vmbridge::LeaveTap>(env, "leaveTap"));
#endif
#ifdef VMBRIDGE_VMNET
  exports.Set("VmnetInterface", vmbridge::VmnetInterface::Define(env));
  exports.Set("VmnetIo", vmbridge::VmnetIo::Define(env));
  exports.Set("vmnetSharedInterfaces",
              Napi::Function::New<vmbridge::SharedInterfaces>(env, "vmnetSharedInterfaces"));
  exports.Set("vmnetHasNetworkObjects",
              Napi::Function::New<vmbridge::HasNetworkObjects>(env, "vmnetHasNetworkObjects"));
#endif
#ifdef VMBRIDGE_VMNET_DOUBLE
  exports.Set("vmnetDouble", Napi::Function::New<vmnet_double::Control>(env, "vmnetDouble"));
#endif
  return exports;
}

}  // namespace

NODE_API_MODULE(vmbridge, Init)

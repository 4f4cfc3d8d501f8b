#include "vmnet_interface_darwin.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

namespace vmbridge {

namespace {

constexpr napi_type_tag kInterfaceTag = {0x4a8f2f6cd1c94d3bULL, 0x9c52b7c0e1f6a75dULL};

std::string Text(const Napi::Object& options, const char* name) {
  Napi::Value value = options.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
}

std::optional<Uuid> Identifier(const Napi::Object& options, const char* name) {
  Napi::Value value = options.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().ByteLength() != 16) return std::nullopt;
  Uuid result;
  memcpy(result.data(), value.As<Napi::Uint8Array>().Data(), result.size());
  return result;
}

bool Flag(const Napi::Object& options, const char* name) {
  Napi::Value value = options.Get(name);
  return value.IsBoolean() && value.As<Napi::Boolean>();
}

// What throws while it is read (a getter) leaves the exception for the caller to see.
VmnetSettings ReadSettings(const Napi::Object& options) {
  VmnetSettings result;
  std::string mode = Text(options, "mode");
  result.mode = mode == "bridged"  ? VMNET_BRIDGED_MODE
                : mode == "shared" ? VMNET_SHARED_MODE
                                   : VMNET_HOST_MODE;
  result.interface = Text(options, "interface");
  result.start = Text(options, "start");
  result.end = Text(options, "end");
  result.mask = Text(options, "mask");
  result.host_address = Text(options, "hostAddress");
  result.host_mask = Text(options, "hostMask");
  result.nat66_prefix = Text(options, "nat66Prefix");
  result.interface_id = Identifier(options, "interfaceId");
  result.network_id = Identifier(options, "networkId");
  Napi::Value mtu = options.Get("mtu");
  if (mtu.IsNumber()) result.mtu = mtu.As<Napi::Number>().Uint32Value();
  result.isolate = Flag(options, "isolate");
  result.network_object = Flag(options, "networkObject");
  return result;
}

const char* NameOf(VmnetSession::State state) {
  switch (state) {
    case VmnetSession::State::kRunning:
      return "running";
    case VmnetSession::State::kFailed:
      return "failed";
    case VmnetSession::State::kStopped:
      return "stopped";
    case VmnetSession::State::kStarting:
    case VmnetSession::State::kStopping:
      return "";
  }
  return "";
}

Napi::Value ArrayOf(Napi::Env env, const std::vector<std::string>& texts) {
  Napi::Array result = Napi::Array::New(env, texts.size());
  for (size_t i = 0; i < texts.size(); i++) result.Set(static_cast<uint32_t>(i), texts[i]);
  return result;
}

}  // namespace

Napi::Function VmnetInterface::Define(Napi::Env env) {
  return DefineClass(env, "VmnetInterface",
                     {InstanceMethod("parameters", &VmnetInterface::Parameters),
                      InstanceMethod("stop", &VmnetInterface::Stop),
                      InstanceMethod("abandon", &VmnetInterface::Abandon)});
}

VmnetInterface::VmnetInterface(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<VmnetInterface>(info) {
  Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsObject() || !info[1].IsFunction()) {
    Napi::TypeError::New(env, "expected (options, onReport)").ThrowAsJavaScriptException();
    return;
  }
  auto self = info.This().As<Napi::Object>();
  self.TypeTag(&kInterfaceTag);
  VmnetSettings settings = ReadSettings(info[0].As<Napi::Object>());
  if (env.IsExceptionPending()) return;
  session_ = VmnetSession::Start(settings);
  if (session_ == nullptr) {
    ThrowSystemError(env, errno, "pipe");
    return;
  }
  on_report_ = Napi::Persistent(info[1].As<Napi::Function>());
  control_fd_ = session_->control.TakeReadEnd();
  if (!Poll(env, control_fd_, kReadable)) {
    ThrowSystemError(env, errno, "poll");
    Release();
    return;
  }
  self_ = Napi::Persistent(self);
}

VmnetInterface::~VmnetInterface() { Release(); }

std::shared_ptr<VmnetSession> VmnetInterface::Of(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kInterfaceTag)) return nullptr;
  return Unwrap(value.As<Napi::Object>())->session_;
}

Napi::Value VmnetInterface::Parameters(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (session_ == nullptr) return env.Undefined();
  VmnetParameters parameters = session_->parameters();
  Napi::Object result = Napi::Object::New(env);
  for (const auto& [name, value] : {std::pair{"mac", &parameters.mac},
                                    {"start", &parameters.start},
                                    {"end", &parameters.end},
                                    {"mask", &parameters.mask}}) {
    if (!value->empty()) result.Set(name, *value);
  }
  result.Set("mtu", Napi::Number::New(env, static_cast<double>(parameters.mtu)));
  result.Set("maxPacketSize",
             Napi::Number::New(env, static_cast<double>(parameters.max_packet_size)));
  if (parameters.interface_id) {
    auto id = Napi::Uint8Array::New(env, parameters.interface_id->size());
    memcpy(id.Data(), parameters.interface_id->data(), parameters.interface_id->size());
    result.Set("interfaceId", id);
  }
  return result;
}

void VmnetInterface::Stop(const Napi::CallbackInfo&) {
  if (session_ != nullptr) session_->Stop();
}

void VmnetInterface::OnReady(int, bool) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  session_->control.Drain(control_fd_);
  VmnetSession::Report report = session_->report();
  const char* state = NameOf(report.state);
  if (*state == '\0') return;
  bool is_over = report.state != VmnetSession::State::kRunning;
  Napi::FunctionReference last;
  if (is_over) {
    last = std::move(on_report_);
    Release();
  }
  CallWithScope(env, is_over ? last : on_report_,
                {Napi::String::New(env, state), Napi::Number::New(env, report.status),
                 Napi::String::New(env, report.call), ArrayOf(env, report.bridgeable)});
}

void VmnetInterface::Release() {
  Unpoll();
  if (control_fd_ >= 0) close(control_fd_);
  control_fd_ = -1;
  if (session_ != nullptr) session_->Abandon();
  session_ = nullptr;
  on_report_.Reset();
  self_.Reset();
}

Napi::Value SharedInterfaces(const Napi::CallbackInfo& info) {
  std::vector<std::string> names;
  if (!VmnetSharedInterfaces(&names)) return info.Env().Undefined();
  return ArrayOf(info.Env(), names);
}

Napi::Value HasNetworkObjects(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), VmnetHasNetworkObjects());
}

}  // namespace vmbridge

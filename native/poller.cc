#include "poller.h"

#include <string.h>

#include <string>

namespace vmbridge {

Registry::Registry(Napi::Env env) {
  napi_get_uv_event_loop(env, &loop_);
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, this, &hook_);
}

Registry* Registry::Of(Napi::Env env) { return env.GetInstanceData<Registry>(); }

void Registry::OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* arg) {
  auto* registry = static_cast<Registry*>(arg);
  registry->ending_ = true;
  while (registry->first_ != nullptr) registry->first_->Close();
  registry->FinishIfDone();
}

void Registry::FinishIfDone() {
  if (!ending_ || open_handles_ > 0 || hook_ == nullptr) return;
  // Removing the hook lets Node delete the environment, and with it this object.
  napi_async_cleanup_hook_handle hook = hook_;
  hook_ = nullptr;
  napi_remove_async_cleanup_hook(hook);
}

Handler::~Handler() { Unpoll(); }

bool Handler::Poll(Napi::Env env, int fd, int events) {
  Registry* registry = Registry::Of(env);
  if (registry == nullptr || registry->ending_) {
    errno = ECANCELED;
    return false;
  }
  auto* poller = new Poller(registry, this);
  int status = uv_poll_init(registry->loop_, &poller->handle_, fd);
  if (status != 0) {
    delete poller;
    errno = -status;
    return false;
  }
  poller->handle_.data = poller;
  poller->Link();
  poller_ = poller;
  Watch(events);
  return true;
}

void Handler::Watch(int events) {
  if (poller_ != nullptr) uv_poll_start(&poller_->handle_, events, Poller::OnEvent);
}

void Handler::Unpoll() {
  if (poller_ != nullptr) poller_->Close();
}

void Poller::OnEvent(uv_poll_t* handle, int status, int events) {
  auto* poller = static_cast<Poller*>(handle->data);
  if (poller->handler_ != nullptr) poller->handler_->OnReady(events, status < 0);
}

void Poller::Close() {
  handler_->poller_ = nullptr;
  handler_ = nullptr;
  Unlink();
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), [](uv_handle_t* handle) {
    auto* poller = static_cast<Poller*>(handle->data);
    Registry* registry = poller->registry_;
    delete poller;
    registry->open_handles_--;
    registry->FinishIfDone();
  });
}

void Poller::Link() {
  registry_->open_handles_++;
  next_ = registry_->first_;
  if (next_ != nullptr) next_->previous_ = this;
  registry_->first_ = this;
}

void Poller::Unlink() {
  if (next_ != nullptr) next_->previous_ = previous_;
  if (previous_ != nullptr) previous_->next_ = next_;
  if (registry_->first_ == this) registry_->first_ = next_;
}

napi_value CallPlain(napi_env env, const Napi::FunctionReference& function, size_t argc,
                     const napi_value* argv) {
  napi_value receiver = nullptr;
  napi_value result = nullptr;
  napi_get_undefined(env, &receiver);
  napi_status status = napi_call_function(env, receiver, function.Value(), argc, argv, &result);
  if (status == napi_ok) return result;
  napi_value error = nullptr;
  if (status == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
  return nullptr;
}

void CallWithScope(Napi::Env env, const Napi::FunctionReference& function,
                   std::initializer_list<napi_value> args) {
  Napi::AsyncContext context(env, "vmbridge");
  napi_value receiver = env.Global();
  napi_value result = nullptr;
  napi_make_callback(env, context, receiver, function.Value(), args.size(), args.begin(), &result);
  napi_value error = nullptr;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
}

Napi::Error SystemError(Napi::Env env, int error, const char* syscall) {
  std::string message = std::string(syscall) + ": " + strerror(error);
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("code", Napi::String::New(env, uv_err_name(-error)));
  result.Set("errno", Napi::Number::New(env, error));
  result.Set("syscall", Napi::String::New(env, syscall));
  return result;
}

void ThrowSystemError(Napi::Env env, int error, const char* syscall) {
  SystemError(env, error, syscall).ThrowAsJavaScriptException();
}

}  // namespace vmbridge

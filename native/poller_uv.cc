// Readiness by one uv_poll_t a descriptor: where epoll is not to be had. See poller.h.
#include <errno.h>

#include "environment.h"
#include "poller.h"
#include "uv_api.h"

namespace vmbridge {

class Registry {
 public:
  explicit Registry(Napi::Env env);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  static Registry* Of(Napi::Env env);
  uv_loop_t* loop() const { return loop_; }

 private:
  friend class Handler;
  friend class Poller;
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* arg);
  void FinishIfDone();

  uv_loop_t* loop_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  Poller* first_ = nullptr;
  int open_handles_ = 0;
  bool ending_ = false;
};

// The uv handle of one descriptor; it lives until uv has closed it.
class Poller {
 private:
  friend class Handler;
  friend class Registry;
  Poller(Registry* registry, Handler* handler) : registry_(registry), handler_(handler) {}
  static void OnEvent(uv_poll_t* handle, int status, int events);
  void Close();
  void Link();
  void Unlink();

  uv_poll_t handle_;
  Registry* registry_;
  Handler* handler_;
  Poller* next_ = nullptr;
  Poller* previous_ = nullptr;
};

Registry::Registry(Napi::Env env) {
  napi_get_uv_event_loop(env, &loop_);
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, this, &hook_);
}

Registry* Registry::Of(Napi::Env env) { return env.GetInstanceData<Environment>()->registry.get(); }

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
  int status = Uv().poll_init(registry->loop_, &poller->handle_, fd);
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
  if (poller_ != nullptr) Uv().poll_start(&poller_->handle_, events, Poller::OnEvent);
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
  Uv().close(reinterpret_cast<uv_handle_t*>(&handle_), [](uv_handle_t* handle) {
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

std::unique_ptr<Registry, void (*)(Registry*)> OpenRegistry(Napi::Env env) {
  return {new Registry(env), [](Registry* registry) { delete registry; }};
}

double LoopTime(Napi::Env env) {
  return static_cast<double>(Uv().now(env.GetInstanceData<Environment>()->registry->loop()));
}

}  // namespace vmbridge

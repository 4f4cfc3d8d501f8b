// Readiness of one descriptor on the uv loop of the environment that loaded the addon (never the
// process's default loop, so that worker threads have their own).
//
// A Poller is the uv handle and lives until uv has closed it; its Handler is the object behind a
// port and may go earlier or later. Registry knows all pollers of an environment and closes them,
// asynchronously as uv demands, when the environment ends at whatever stage of the process's life.
#ifndef VMBRIDGE_POLLER_H_
#define VMBRIDGE_POLLER_H_

#include <napi.h>
#include <uv.h>

namespace vmbridge {

class Poller;

class Registry {
 public:
  explicit Registry(Napi::Env env);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  static Registry* Of(Napi::Env env);

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

class Handler {
 public:
  // `events` as of uv_poll; `failed` when the descriptor reports an error (EPOLLERR), after which
  // uv has stopped polling.
  virtual void OnReady(int events, bool failed) = 0;

 protected:
  Handler() = default;
  virtual ~Handler();

  // Starts polling `fd` for `events`; false (errno set) when the loop refuses the descriptor.
  bool Poll(Napi::Env env, int fd, int events);
  // Changes what is polled for; nothing while closed.
  void Watch(int events);
  // No more calls of OnReady. The descriptor may be closed right after.
  void Unpoll();
  bool polling() const { return poller_ != nullptr; }

 private:
  friend class Poller;
  friend class Registry;
  Poller* poller_ = nullptr;
};

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

// Calls a JavaScript function without a callback scope: no ticks or microtasks are drained, which
// is what makes the data path quick (docs/decisions.md). An exception goes to the process's
// uncaughtException. The caller holds a handle scope. Returns nullptr when the call could not be
// made or threw.
napi_value CallPlain(napi_env env, const Napi::FunctionReference& function, size_t argc,
                     const napi_value* argv);

// Calls a JavaScript function from the loop inside a callback scope of its own, so that promises
// and ticks that it starts do run: for events that are not frames.
void CallWithScope(Napi::Env env, const Napi::FunctionReference& function,
                   std::initializer_list<napi_value> args);

// An Error with `code` (such as ECONNREFUSED), `errno` and `syscall`, like Node's own.
Napi::Error SystemError(Napi::Env env, int error, const char* syscall);
void ThrowSystemError(Napi::Env env, int error, const char* syscall);

}  // namespace vmbridge

#endif  // VMBRIDGE_POLLER_H_

// Readiness of descriptors, on the uv loop of the environment that loaded the addon (never the
// process's default loop as such, so that worker threads have their own).
//
// On Linux the descriptors of ports are in an epoll set of our own, and uv's backend descriptor is
// one more in it. A uv_prepare handle, which uv runs right before it would block, waits in that set
// instead: as long as only ports are ready, frames go from one port to the next without a turn of
// Node's loop in between; as soon as uv has something to do (a timer, an immediate, a signal, a
// promise's thread), it returns and uv does it. What this saves a wake-up: a second epoll_wait
// (Node asks uv to measure idle time, for which uv polls twice) and the callback scope of Node's
// immediates; docs/decisions.md has the figures.
//
// Elsewhere each descriptor is a uv_poll_t (poller_uv.cc); `node-gyp rebuild -- -Duv_poll=1` builds
// that on Linux as well, for tests.
//
// Registry is an environment's set of descriptors; it is torn down with the environment, at
// whatever stage of the process's life that is.
#ifndef VMBRIDGE_POLLER_H_
#define VMBRIDGE_POLLER_H_

#include <napi.h>
#include <uv.h>

#include <memory>

namespace vmbridge {

class Poller;
class Registry;

// Ready for reading, ready for writing: uv's UV_READABLE and UV_WRITABLE.
constexpr int kReadable = UV_READABLE;
constexpr int kWritable = UV_WRITABLE;

class Handler {
 public:
  // `failed` when the descriptor reports an error (EPOLLERR); it should be given up then.
  virtual void OnReady(int events, bool failed) = 0;

 protected:
  Handler() = default;
  virtual ~Handler();

  // Starts watching `fd` for `events`; false (errno set) when it cannot be watched.
  bool Poll(Napi::Env env, int fd, int events);
  // Changes what is watched for; nothing while closed.
  void Watch(int events);
  // No more calls of OnReady. The descriptor is to be closed after this, not before.
  void Unpoll();

 private:
  friend class Poller;
  friend class Registry;
  Poller* poller_ = nullptr;
};

// The registry of an environment: made when the addon is loaded, deleted with the environment.
std::unique_ptr<Registry, void (*)(Registry*)> OpenRegistry(Napi::Env env);

// The time of the loop in ms: monotonic, and as of the last wait.
double LoopTime(Napi::Env env);

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
void ThrowSystemError(Napi::Env env, int error, const char* syscall);

}  // namespace vmbridge

#endif  // VMBRIDGE_POLLER_H_

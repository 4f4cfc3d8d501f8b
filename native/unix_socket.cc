#include "unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "uv_api.h"

namespace vmbridge {

namespace {

constexpr int kBacklog = 128;
// Connections taken in one turn of the loop, so that a storm of them does not starve the ports.
constexpr int kAcceptsPerTurn = 16;

struct Credentials {
  int64_t pid = 0;
  int64_t uid = -1;
  int64_t gid = -1;
};

int NewSocket(bool non_blocking) {
#ifdef __linux__
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0), 0);
#else
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return fd;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (non_blocking) fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
#endif
}

int AcceptOne(int listener) {
#ifdef __linux__
  return accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
  int fd = accept(listener, nullptr, nullptr);
  if (fd < 0) return fd;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
#endif
}

Credentials CredentialsOf(int fd) {
  Credentials result;
#ifdef __linux__
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) {
    result.pid = peer.pid;
    result.uid = peer.uid;
    result.gid = peer.gid;
  }
#else
  uid_t uid;
  gid_t gid;
  if (getpeereid(fd, &uid, &gid) == 0) {
    result.uid = uid;
    result.gid = gid;
  }
  pid_t pid;
  socklen_t length = sizeof pid;
  if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &length) == 0) result.pid = pid;
#endif
  return result;
}

}  // namespace

bool FillAddress(const std::string& path, struct sockaddr_un* address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address->sun_path, path.data(), path.size());
  return true;
}

const char* BindWithRights(int fd, const std::string& path, mode_t mode, int64_t gid) {
  struct sockaddr_un address;
  if (!FillAddress(path, &address)) return "bind";
#ifdef __linux__
  // The file gets the mode that the socket has. An umask is for every thread, and would be on the
  // files that others make at this moment.
  if (fchmod(fd, 0) != 0) return "chmod";
  if (bind(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) != 0) return "bind";
#else
  mode_t before = umask(0777);
  int bound = bind(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address);
  int bind_error = errno;
  umask(before);
  errno = bind_error;
  if (bound != 0) return "bind";
#endif
  const char* failed = nullptr;
  // Of the socket and of nothing that a link leads to: in a folder of another's, that one may put a
  // link in its place.
  if (gid >= 0 && lchown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(gid)) != 0) {
    failed = "chown";
  } else if (fchmodat(AT_FDCWD, path.c_str(), mode, AT_SYMLINK_NOFOLLOW) != 0) {
    failed = "chmod";
  }
  if (failed != nullptr) {
    int error = errno;
    unlink(path.c_str());
    errno = error;
  }
  return failed;
}

Napi::Value Listen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = info[0].ToString().Utf8Value();
  auto mode = static_cast<mode_t>(info[1].ToNumber().Uint32Value());
  int64_t gid = info[2].ToNumber().Int64Value();
  int fd = NewSocket(true);
  if (fd < 0) {
    ThrowSystemError(env, errno, "socket");
    return env.Undefined();
  }
  const char* failed = BindWithRights(fd, path, mode, gid);
  if (failed == nullptr && listen(fd, kBacklog) != 0) {
    int error = errno;
    unlink(path.c_str());
    errno = error;
    failed = "listen";
  }
  if (failed != nullptr) {
    int error = errno;
    close(fd);
    ThrowSystemError(env, error, failed);
    return env.Undefined();
  }
  return Napi::Number::New(env, fd);
}

Napi::Value Dial(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  struct sockaddr_un address;
  if (!FillAddress(info[0].ToString().Utf8Value(), &address)) {
    ThrowSystemError(env, errno, "connect");
    return env.Undefined();
  }
  int fd = NewSocket(info[1].ToBoolean());
  if (fd < 0) {
    ThrowSystemError(env, errno, "socket");
    return env.Undefined();
  }
  if (connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) != 0) {
    int error = errno;
    close(fd);
    ThrowSystemError(env, error, "connect");
    return env.Undefined();
  }
  return Napi::Number::New(env, fd);
}

Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Credentials peer = CredentialsOf(info[0].ToNumber().Int32Value());
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, static_cast<double>(peer.pid)));
  result.Set("uid", Napi::Number::New(env, static_cast<double>(peer.uid)));
  result.Set("gid", Napi::Number::New(env, static_cast<double>(peer.gid)));
  return result;
}

Napi::Function Listener::Define(Napi::Env env) {
  return DefineClass(
      env, "Listener",
      {InstanceMethod("close", &Listener::Close), InstanceMethod("pause", &Listener::Pause),
       InstanceMethod("resume", &Listener::Resume)});
}

Listener::Listener(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Listener>(info) {
  Napi::Env env = info.Env();
  if (!info[0].IsNumber() || !info[1].IsFunction() || !info[2].IsFunction()) {
    Napi::TypeError::New(env, "expected (fd, onConnection, onError)").ThrowAsJavaScriptException();
    return;
  }
  on_connection_ = Napi::Persistent(info[1].As<Napi::Function>());
  on_error_ = Napi::Persistent(info[2].As<Napi::Function>());
  int fd = info[0].As<Napi::Number>().Int32Value();
  if (!Poll(env, fd, kReadable)) {
    ThrowSystemError(env, errno, "poll");
    return;
  }
  fd_ = fd;
  self_ = Napi::Persistent(info.This().As<Napi::Object>());
}

Listener::~Listener() { Release(); }

void Listener::OnReady(int, bool) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  for (int i = 0; i < kAcceptsPerTurn && fd_ >= 0; i++) {
    int fd = AcceptOne(fd_);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      CallWithScope(env, on_error_, {Napi::String::New(env, Uv().err_name(-errno))});
      return;
    }
    Credentials peer = CredentialsOf(fd);
    CallWithScope(
        env, on_connection_,
        {Napi::Number::New(env, fd), Napi::Number::New(env, static_cast<double>(peer.pid)),
         Napi::Number::New(env, static_cast<double>(peer.uid)),
         Napi::Number::New(env, static_cast<double>(peer.gid))});
  }
}

void Listener::Close(const Napi::CallbackInfo&) { Release(); }

void Listener::Pause(const Napi::CallbackInfo&) { Watch(0); }

void Listener::Resume(const Napi::CallbackInfo&) { Watch(kReadable); }

void Listener::Release() {
  if (fd_ < 0) return;
  Unpoll();
  close(fd_);
  fd_ = -1;
  on_connection_.Reset();
  on_error_.Reset();
  self_.Reset();
}

}  // namespace vmbridge

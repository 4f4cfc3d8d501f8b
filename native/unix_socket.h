// Unix stream sockets: making a listening one with its mode and group, dialling one, taking
// connections off one, and asking who is at the other end.
#ifndef VMBRIDGE_UNIX_SOCKET_H_
#define VMBRIDGE_UNIX_SOCKET_H_

#include <napi.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <string>

#include "poller.h"

namespace vmbridge {

// listen(path, mode, gid | -1) => fd: binds and listens; the file never exists with wider rights
// than `mode`. The path must be free. Throws a system error whose `syscall` names the step.
Napi::Value Listen(const Napi::CallbackInfo& info);

// dial(path, nonBlocking) => fd. Throws a system error (ENOENT, ECONNREFUSED, EAGAIN for a full
// backlog, ...).
Napi::Value Dial(const Napi::CallbackInfo& info);

// peerCredentials(fd) => {pid, uid, gid} of the process at the other end: of a listening socket's
// owner for a dialled socket. pid is 0 where the system does not tell.
Napi::Value PeerCredentials(const Napi::CallbackInfo& info);

// A path as an address; false with errno where it is too long.
bool FillAddress(const std::string& path, struct sockaddr_un* address);

// Binds a socket, gives the file its mode and group (-1: leave it). Returns the step that failed,
// with errno and nothing left behind, or nullptr.
const char* BindWithRights(int fd, const std::string& path, mode_t mode, int64_t gid);

class Listener : public Napi::ObjectWrap<Listener>, private Handler {
 public:
  static Napi::Function Define(Napi::Env env);

  // (fd, onConnection: (fd, pid, uid, gid) => void, onError: (code) => void). Owns `fd`. The
  // callbacks run in a callback scope of their own.
  explicit Listener(const Napi::CallbackInfo& info);
  ~Listener() override;

 private:
  void Close(const Napi::CallbackInfo& info);
  // Stops and starts accepting: for a while after EMFILE, for which readiness would spin.
  void Pause(const Napi::CallbackInfo& info);
  void Resume(const Napi::CallbackInfo& info);
  void OnReady(int events, bool failed) override;
  void Release();

  int fd_ = -1;
  Napi::FunctionReference on_connection_;
  Napi::FunctionReference on_error_;
  Napi::ObjectReference self_;  // holds itself while it listens
};

}  // namespace vmbridge

#endif  // VMBRIDGE_UNIX_SOCKET_H_

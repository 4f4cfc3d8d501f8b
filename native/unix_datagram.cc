#include "unix_datagram.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "poller.h"
#include "unix_socket.h"

namespace vmbridge {

namespace {

constexpr size_t kBeforePath = offsetof(struct sockaddr_un, sun_path);
// How long a daemon may take to answer, in seconds.
constexpr struct timeval kPatience = {10, 0};

Napi::Value Throw(Napi::Env env, int error, const char* step) {
  ThrowSystemError(env, error, step);
  return env.Undefined();
}

// Sends the magic word with a descriptor; the step that failed, or nullptr.
const char* PassAndWait(int stream, int fd) {
  struct iovec word = {const_cast<char*>(kPassing), sizeof kPassing};
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  struct msghdr message = {};
  message.msg_iov = &word;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  setsockopt(stream, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (sendmsg(stream, &message, 0) != static_cast<ssize_t>(sizeof kPassing)) return "sendmsg";
  // Frames of the segment may come before the answer.
  char buffer[64 * 1024];
  size_t kept = 0;
  for (;;) {
    ssize_t length = recv(stream, buffer + kept, sizeof buffer - kept, 0);
    if (length < 0) return "recv";
    if (length == 0) break;
    kept += static_cast<size_t>(length);
    // The answer is the last that comes before the daemon closes.
    if (kept > sizeof kPassing) {
      memmove(buffer, buffer + kept - sizeof kPassing, sizeof kPassing);
      kept = sizeof kPassing;
    }
  }
  if (kept == sizeof kPassing && memcmp(buffer, kPassing, sizeof kPassing) == 0) return nullptr;
  errno = EPROTONOSUPPORT;
  return "recv";
}

}  // namespace

std::string UnixAddress::Key() const {
  if (length <= kBeforePath) return {};
  size_t most = length - kBeforePath;
  if (most > sizeof name.sun_path) most = sizeof name.sun_path;
  // A name outside of the file system begins with a NUL and may hold others.
  size_t used = name.sun_path[0] == '\0' ? most : strnlen(name.sun_path, most);
#ifndef __linux__
  if (name.sun_path[0] == '\0') used = 0;
#endif
  return {name.sun_path, used};
}

Napi::Value BindDatagram(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = NewDatagramSocket();
  if (fd < 0) return Throw(env, errno, "socket");
  const char* failed = BindWithRights(fd, info[0].ToString().Utf8Value(),
                                      static_cast<mode_t>(info[1].ToNumber().Uint32Value()),
                                      info[2].ToNumber().Int64Value());
  if (failed == nullptr) return Napi::Number::New(env, fd);
  int error = errno;
  close(fd);
  return Throw(env, error, failed);
}

Napi::Value PassDatagrams(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int stream = info[0].ToNumber().Int32Value();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return Throw(env, errno, "socketpair");
  for (int fd : pair) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    WidenDatagramBuffers(fd);
  }
  const char* failed = PassAndWait(stream, pair[1]);
  int error = errno;
  close(pair[1]);
  if (failed == nullptr) return Napi::Number::New(env, pair[0]);
  close(pair[0]);
  return Throw(env, error, failed);
}

bool IsUnixDatagram(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  struct sockaddr_storage name;
  socklen_t name_length = sizeof name;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM &&
         getsockname(fd, reinterpret_cast<struct sockaddr*>(&name), &name_length) == 0 &&
         name.ss_family == AF_UNIX;
}

bool PeerPlace::Find(const UnixAddress& peer, [[maybe_unused]] int64_t uid) {
  Forget();
  name_ = peer;
  if (!peer.IsPath()) return true;
  struct stat found;
#ifdef O_PATH
  fd_ = open(peer.Key().c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd_ < 0 || fstat(fd_, &found) != 0) return false;
#else
  if (lstat(peer.Key().c_str(), &found) != 0) return false;
#endif
  if (!S_ISSOCK(found.st_mode)) {
    errno = ENOTSOCK;
    return false;
  }
#ifdef O_PATH
  if (uid > 0 && found.st_uid != static_cast<uid_t>(uid)) {
    errno = EACCES;
    return false;
  }
  name_ = {};
  name_.name.sun_family = AF_UNIX;
  int length = snprintf(name_.name.sun_path, sizeof name_.name.sun_path, "/proc/self/fd/%d", fd_);
  name_.length = static_cast<socklen_t>(kBeforePath + static_cast<size_t>(length) + 1);
#endif
  return true;
}

void PeerPlace::Forget() {
  int error = errno;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  errno = error;
}

int ConnectDatagram(const PeerPlace& place) {
  int fd = NewDatagramSocket();
  if (fd < 0) return -1;
  const UnixAddress& to = place.name();
  if (connect(fd, reinterpret_cast<const struct sockaddr*>(&to.name), to.length) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

Napi::Value WriteAddress(Napi::Env env, const UnixAddress& address) {
  std::string key = address.Key();
  return Napi::Buffer<char>::Copy(env, key.data(), key.size());
}

bool ReadAddress(const Napi::Value& value, UnixAddress* address) {
  if (!value.IsTypedArray()) return false;
  auto bytes = value.As<Napi::Uint8Array>();
  size_t length = bytes.ByteLength();
  if (length == 0 || length > sizeof address->name.sun_path) return false;
  *address = {};
  address->name.sun_family = AF_UNIX;
  memcpy(address->name.sun_path, bytes.Data(), length);
  address->length = static_cast<socklen_t>(kBeforePath + length);
  // A path counts its closing NUL where that fits; a name outside of the file system has none.
  if (address->name.sun_path[0] != '\0' && length < sizeof address->name.sun_path)
    address->length++;
  return true;
}

}  // namespace vmbridge

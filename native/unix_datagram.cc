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

// Takes the descriptor of a message, if one came, in place of `*fd`.
void TakeDescriptor(struct msghdr* message, int* fd) {
  const struct cmsghdr* header = CMSG_FIRSTHDR(message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof *fd)) {
    return;
  }
  if (*fd >= 0) close(*fd);
  memcpy(fd, CMSG_DATA(header), sizeof *fd);
  fcntl(*fd, F_SETFD, FD_CLOEXEC);
}

// Asks and waits; the step that failed, or nullptr and the descriptor that came with the answer.
const char* Ask(int stream, int* fd) {
  setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  setsockopt(stream, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (send(stream, kDatagrams, sizeof kDatagrams, 0) != static_cast<ssize_t>(sizeof kDatagrams))
    return "send";
  // Frames of the segment may come before the answer, which is the last before the daemon closes.
  char buffer[64 * 1024];
  size_t kept = 0;
  for (;;) {
    struct iovec piece = {buffer + kept, sizeof buffer - kept};
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof *fd)];
    struct msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t length = recvmsg(stream, &message, 0);
    if (length < 0) return "recv";
    TakeDescriptor(&message, fd);
    if (length == 0) break;
    kept += static_cast<size_t>(length);
    if (kept > sizeof kDatagrams) {
      memmove(buffer, buffer + kept - sizeof kDatagrams, sizeof kDatagrams);
      kept = sizeof kDatagrams;
    }
  }
  bool is_answer = kept == sizeof kDatagrams && memcmp(buffer, kDatagrams, kept) == 0 && *fd >= 0;
  if (is_answer) return nullptr;
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
  // Before anybody can send: of what came earlier the kernel would not know who sent it.
  AskForSenders(fd);
  const char* failed = BindWithRights(fd, info[0].ToString().Utf8Value(),
                                      static_cast<mode_t>(info[1].ToNumber().Uint32Value()),
                                      info[2].ToNumber().Int64Value());
  if (failed == nullptr) return Napi::Number::New(env, fd);
  int error = errno;
  close(fd);
  return Throw(env, error, failed);
}

Napi::Value AskForDatagrams(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = -1;
  const char* failed = Ask(info[0].ToNumber().Int32Value(), &fd);
  if (failed == nullptr) return Napi::Number::New(env, fd);
  int error = errno;
  if (fd >= 0) close(fd);
  return Throw(env, error, failed);
}

bool SendWithDescriptor(int stream, int fd, int flags) {
  struct iovec word = {const_cast<char*>(kDatagrams), sizeof kDatagrams};
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
  return sendmsg(stream, &message, flags) == static_cast<ssize_t>(sizeof kDatagrams);
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

bool IsGone(int error) {
  switch (error) {
    case EACCES:
    case ECONNREFUSED:
    case ECONNRESET:
    case ENOENT:
    case ENOTCONN:
    case ENOTDIR:
    case ENOTSOCK:
    case EPIPE:
    case EPROTOTYPE:
      return true;
    default:
      return false;
  }
}

napi_value WriteAddress(Napi::Env env, const UnixAddress& address) {
  std::string key = address.Key();
  napi_value bytes = nullptr;
  return napi_create_buffer_copy(env, key.size(), key.data(), nullptr, &bytes) == napi_ok ? bytes
                                                                                          : nullptr;
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

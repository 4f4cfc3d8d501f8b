// recvmsg_x and sendmsg_x of macOS, and what a Unix datagram socket does there that it does not do
// on Linux: a queue that is full answers ENOBUFS, and nobody is told when it has room again. At
// their strictest: no flag but MSG_DONTWAIT, no flags in a message, no control data.
#include "messages.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "double.h"

namespace vmnet_double {

namespace {

struct MessageX {
  void* msg_name;
  socklen_t msg_namelen;
  struct iovec* msg_iov;
  int msg_iovlen;
  void* msg_control;
  socklen_t msg_controllen;
  int msg_flags;
  size_t msg_datalen;
};

// xnu's limits of one call.
constexpr unsigned kMostReceived = 100;
constexpr unsigned kMostSent = 1024;

bool IsRight(const MessageX* messages, unsigned count, unsigned most, int flags) {
  if (flags != MSG_DONTWAIT) Die("a call for many messages with flags %x", flags);
  if (count == 0 || count > most) Die("a call for %u messages", count);
  for (unsigned i = 0; i < count; i++) {
    if (messages[i].msg_flags != 0 || messages[i].msg_controllen != 0)
      Die("a message with flags or control data");
  }
  const char* wanted = getenv("VMNET_DOUBLE_MESSAGES");
  errno = EOPNOTSUPP;
  return wanted == nullptr || strcmp(wanted, "refused") != 0;
}

struct msghdr Plain(const MessageX& message) {
  struct msghdr plain = {};
  plain.msg_name = message.msg_name;
  plain.msg_namelen = message.msg_namelen;
  plain.msg_iov = message.msg_iov;
  plain.msg_iovlen = static_cast<size_t>(message.msg_iovlen);
  return plain;
}

ssize_t Receive(int fd, void* array, unsigned count, int flags) {
  auto* messages = static_cast<MessageX*>(array);
  if (!IsRight(messages, count, kMostReceived, flags)) return -1;
  unsigned done = 0;
  for (; done < count; done++) {
    struct msghdr plain = Plain(messages[done]);
    ssize_t length = recvmsg(fd, &plain, MSG_DONTWAIT);
    if (length < 0) break;
    messages[done].msg_datalen = static_cast<size_t>(length);
    messages[done].msg_namelen = plain.msg_namelen;
    messages[done].msg_flags = plain.msg_flags & MSG_TRUNC;
  }
  return done > 0 ? static_cast<ssize_t>(done) : -1;
}

ssize_t Send(int fd, void* array, unsigned count, int flags) {
  const auto* messages = static_cast<const MessageX*>(array);
  if (!IsRight(messages, count, kMostSent, flags)) return -1;
  unsigned done = 0;
  for (; done < count; done++) {
    struct msghdr plain = Plain(messages[done]);
    if (sendmsg(fd, &plain, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
  }
  if (done > 0) return static_cast<ssize_t>(done);
  if (errno == EAGAIN) errno = ENOBUFS;
  return -1;
}

}  // namespace

void* FindMessageCall(const char* name) {
  const char* wanted = getenv("VMNET_DOUBLE_MESSAGES");
  bool is_missing = wanted != nullptr && strcmp(wanted, "missing") == 0;
  if (strcmp(name, "recvmsg_x") == 0)
    return is_missing ? nullptr : reinterpret_cast<void*>(Receive);
  if (strcmp(name, "sendmsg_x") == 0) return is_missing ? nullptr : reinterpret_cast<void*>(Send);
  return nullptr;
}

bool IsMessageCall(const char* name) {
  return strcmp(name, "recvmsg_x") == 0 || strcmp(name, "sendmsg_x") == 0;
}

}  // namespace vmnet_double

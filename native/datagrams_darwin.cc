// recvmsg_x and sendmsg_x are system calls of macOS without a public declaration. What is relied
// on, from xnu's socket_private.h: the layout below; of flags only MSG_DONTWAIT; msg_flags zero on
// input; msg_datalen is what came. Where a macOS lacks them, or refuses them for these sockets, one
// recvmsg or sendmsg a datagram takes their place. None of this has been measured on a Mac.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>

#include <algorithm>

#include "datagrams.h"

namespace vmbridge {

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

// Of void: the layout is ours, and no type that whoever has the call knows.
using ManyCall = ssize_t (*)(int fd, void* messages, unsigned count, int flags);

// One of the two calls; set to null for good once it turns out to be of no use.
class Many {
 public:
  explicit Many(const char* name) : call_(reinterpret_cast<ManyCall>(dlsym(RTLD_DEFAULT, name))) {}
  // False when the call is not there, or does not serve: errno tells nothing then. Its type is as
  // the comment above has it, and nobody's declaration: the sanitizer would want one that is
  // shared.
#ifdef __clang__
  __attribute__((no_sanitize("undefined")))
#endif
  bool
  Try(int fd, MessageX* messages, int count, int* done) {
    if (call_ == nullptr) return false;
    ssize_t result;
    do {
      result = call_(fd, messages, static_cast<unsigned>(count), MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    if (result < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL)) {
      call_ = nullptr;
      return false;
    }
    *done = static_cast<int>(result);
    return true;
  }

 private:
  ManyCall call_;
};

}  // namespace

struct DatagramReceiver::Headers {
  MessageX messages[kMost];
  Many many{"recvmsg_x"};
};

DatagramReceiver::DatagramReceiver() : headers_(std::make_unique<Headers>()) {}
DatagramReceiver::~DatagramReceiver() = default;

int DatagramReceiver::Receive(int fd, Datagram* datagrams, int count, bool) {
  for (int i = 0; i < count; i++) {
    headers_->messages[i] = {&datagrams[i].from.name,
                             sizeof datagrams[i].from.name,
                             datagrams[i].pieces,
                             2,
                             nullptr,
                             0,
                             0,
                             0};
  }
  int received = 0;
  if (headers_->many.Try(fd, headers_->messages, count, &received)) {
    for (int i = 0; i < received; i++) {
      datagrams[i].length = headers_->messages[i].msg_datalen;
      datagrams[i].is_cut = (headers_->messages[i].msg_flags & MSG_TRUNC) != 0;
      datagrams[i].from.length = headers_->messages[i].msg_namelen;
    }
    return received;
  }
  for (received = 0; received < count; received++) {
    Datagram& datagram = datagrams[received];
    struct msghdr header = {};
    header.msg_name = &datagram.from.name;
    header.msg_namelen = sizeof datagram.from.name;
    header.msg_iov = datagram.pieces;
    header.msg_iovlen = 2;
    ssize_t length;
    do {
      length = recvmsg(fd, &header, MSG_DONTWAIT);
    } while (length < 0 && errno == EINTR);
    // What came before an error is not lost; the error comes again.
    if (length < 0) return received > 0 ? received : -1;
    datagram.length = static_cast<size_t>(length);
    datagram.is_cut = (header.msg_flags & MSG_TRUNC) != 0;
    datagram.from.length = header.msg_namelen;
  }
  return received;
}

int SendDatagrams(int fd, const Outgoing* datagrams, int count, const UnixAddress* to) {
  static thread_local Many many("sendmsg_x");
  MessageX messages[kMostOutgoing];
  void* name = to == nullptr ? nullptr : const_cast<struct sockaddr_un*>(&to->name);
  socklen_t name_length = to == nullptr ? 0 : to->length;
  for (int i = 0; i < count; i++) {
    messages[i] = {name,
                   name_length,
                   const_cast<struct iovec*>(datagrams[i].pieces),
                   datagrams[i].count,
                   nullptr,
                   0,
                   0,
                   0};
  }
  int sent = 0;
  if (many.Try(fd, messages, count, &sent)) return sent;
  for (sent = 0; sent < count; sent++) {
    struct msghdr header = {};
    header.msg_name = name;
    header.msg_namelen = name_length;
    header.msg_iov = const_cast<struct iovec*>(datagrams[sent].pieces);
    header.msg_iovlen = static_cast<decltype(header.msg_iovlen)>(datagrams[sent].count);
    ssize_t length;
    do {
      length = sendmsg(fd, &header, MSG_DONTWAIT);
    } while (length < 0 && errno == EINTR);
    if (length < 0) return sent > 0 ? sent : -1;
  }
  return sent;
}

int NewDatagramSocket() {
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) return fd;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  WidenDatagramBuffers(fd);
  return fd;
}

// macOS's 2 KiB to send and 4 KiB to receive take one frame. Virtualization.framework asks for a
// receive buffer of at least twice the send buffer, better four times.
void WidenDatagramBuffers(int fd) {
  int send = 1024 * 1024;
  int receive = 4 * send;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof send);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
}

void AskForSenders(int) {}

}  // namespace vmbridge

#include <errno.h>
#include <string.h>

#include "datagrams.h"

namespace vmbridge {

namespace {
// Room for the sender's credentials, which come first, and nothing more: descriptors that somebody
// passes along do not fit, and the kernel lets go of them.
constexpr size_t kControl = CMSG_SPACE(sizeof(struct ucred));
}  // namespace

struct DatagramReceiver::Headers {
  struct mmsghdr messages[kMost];
  alignas(struct cmsghdr) char control[kMost][kControl];
};

DatagramReceiver::DatagramReceiver() : headers_(std::make_unique<Headers>()) {}
DatagramReceiver::~DatagramReceiver() = default;

int DatagramReceiver::Receive(int fd, Datagram* datagrams, int count, bool with_senders) {
  for (int i = 0; i < count; i++) {
    struct msghdr& header = headers_->messages[i].msg_hdr;
    header = {};
    header.msg_name = &datagrams[i].from.name;
    header.msg_namelen = sizeof datagrams[i].from.name;
    header.msg_iov = datagrams[i].pieces;
    header.msg_iovlen = 2;
    if (!with_senders) continue;
    header.msg_control = headers_->control[i];
    header.msg_controllen = kControl;
  }
  int received;
  do {
    received = recvmmsg(fd, headers_->messages, static_cast<unsigned>(count),
                        MSG_DONTWAIT | MSG_CMSG_CLOEXEC, nullptr);
  } while (received < 0 && errno == EINTR);
  for (int i = 0; i < received; i++) {
    struct msghdr& header = headers_->messages[i].msg_hdr;
    Datagram& datagram = datagrams[i];
    datagram.length = headers_->messages[i].msg_len;
    datagram.is_cut = (header.msg_flags & MSG_TRUNC) != 0;
    datagram.from.length = header.msg_namelen;
    datagram.pid = 0;
    datagram.uid = datagram.gid = -1;
    const struct cmsghdr* control = CMSG_FIRSTHDR(&header);
    if (control == nullptr || control->cmsg_level != SOL_SOCKET ||
        control->cmsg_type != SCM_CREDENTIALS) {
      continue;
    }
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(control), sizeof sender);
    datagram.pid = sender.pid;
    datagram.uid = sender.uid;
    datagram.gid = sender.gid;
  }
  return received;
}

int SendDatagrams(int fd, const Outgoing* datagrams, int count, const UnixAddress* to) {
  struct mmsghdr messages[kMostOutgoing];
  for (int i = 0; i < count; i++) {
    struct msghdr& header = messages[i].msg_hdr;
    header = {};
    if (to != nullptr) {
      header.msg_name = const_cast<struct sockaddr_un*>(&to->name);
      header.msg_namelen = to->length;
    }
    header.msg_iov = const_cast<struct iovec*>(datagrams[i].pieces);
    header.msg_iovlen = static_cast<size_t>(datagrams[i].count);
  }
  int sent;
  do {
    sent = sendmmsg(fd, messages, static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

int NewDatagramSocket() { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// 208 KiB are 90 full frames on their way; a socket's queue is bounded by net.unix.max_dgram_qlen.
void WidenDatagramBuffers(int) {}

void AskForSenders(int fd) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

}  // namespace vmbridge

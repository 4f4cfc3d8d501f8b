// Many datagrams by one system call, as a Unix datagram socket carries them: recvmmsg and sendmmsg
// on Linux (datagrams_linux.cc), recvmsg_x and sendmsg_x on macOS (datagrams_darwin.cc).
#ifndef VMBRIDGE_DATAGRAMS_H_
#define VMBRIDGE_DATAGRAMS_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <memory>
#include <string>

namespace vmbridge {

// The address of a Unix datagram socket: a path, or on Linux a name outside of the file system.
struct UnixAddress {
  struct sockaddr_un name = {};
  socklen_t length = 0;

  // The bytes behind the family, without the NULs that pad a path: what tells one from another, and
  // empty for a socket that has no address.
  std::string Key() const;
  bool IsPath() const { return !Key().empty() && name.sun_path[0] != '\0'; }
  // As the kernel gives it, which is always in the same form for the same socket.
  bool operator==(const UnixAddress& other) const {
    return length == other.length && memcmp(&name, &other.name, length) == 0;
  }
};

struct Datagram {
  // Where its bytes go: the second piece takes what does not fit the first.
  struct iovec pieces[2] = {};
  // Set by Receive.
  size_t length = 0;
  bool is_cut = false;  // it was longer than both pieces
  UnixAddress from;
  // Of the sender, where the system tells (Linux); else 0 and -1.
  int64_t pid = 0;
  int64_t uid = -1;
  int64_t gid = -1;
};

class DatagramReceiver {
 public:
  // What a call takes at most: above it nothing is gained.
  static constexpr int kMost = 64;

  DatagramReceiver();
  ~DatagramReceiver();

  // Receives up to `count` (kMost at the most) without waiting. Returns how many, or -1 with errno.
  // `with_senders`: their credentials, of a socket that nobody else holds. Who has the other end of
  // a pair may hold ours as well, and choose by it what comes beside a datagram.
  int Receive(int fd, Datagram* datagrams, int count, bool with_senders);

 private:
  struct Headers;
  std::unique_ptr<Headers> headers_;
};

// A datagram to be sent: one piece, or two where it stands around the end of a ring.
struct Outgoing {
  struct iovec pieces[2];
  int count;
};

constexpr int kMostOutgoing = 64;

// Sends up to `count` (kMostOutgoing at the most) without waiting, to `to` or, where that is null,
// to the socket's peer. Returns how many were sent, or -1 with the errno of the first.
int SendDatagrams(int fd, const Outgoing* datagrams, int count, const UnixAddress* to);

// A new datagram socket: non-blocking, closed by exec, with buffers for frames. -1 with errno.
int NewDatagramSocket();
// Widens the buffers of a datagram socket where the system's are too small for frames (macOS).
void WidenDatagramBuffers(int fd);
// Asks for the credentials of senders, where the system gives them (Linux).
void AskForSenders(int fd);

}  // namespace vmbridge

#endif  // VMBRIDGE_DATAGRAMS_H_

// Unix datagram sockets: binding one that VMs send to, pairs, and whether somebody has an address.
#ifndef VMBRIDGE_UNIX_DATAGRAM_H_
#define VMBRIDGE_UNIX_DATAGRAM_H_

#include <napi.h>

#include "datagrams.h"

namespace vmbridge {

// bindDatagram(path, mode, gid | -1) => fd: binds; the file never exists with wider rights than
// `mode`. The path must be free. Throws a system error whose `syscall` names the step.
Napi::Value BindDatagram(const Napi::CallbackInfo& info);

// askForDatagrams(stream fd) => fd: asks the daemon at the other end of a blocking stream socket
// for one end of a datagram pair. Throws a system error; EPROTONOSUPPORT where the other side
// closes instead.
Napi::Value AskForDatagrams(const Napi::CallbackInfo& info);

// What askForDatagrams says on the stream, and the daemon with its answer: no length that the
// framing allows.
constexpr char kDatagrams[] = {'D', 'G', 'R', 'M'};

// Sends that word with a descriptor.
bool SendWithDescriptor(int stream, int fd, int flags);

// Where a peer's address led when it was looked for. The address is what the peer says it is, and
// who may change a folder of the path can have it lead elsewhere: to a socket that is not for him,
// and that a daemon of root's may send to. So on Linux the file is held, which has to be the
// peer's, and not looked for again. Elsewhere it is not a symbolic link at the moment of the look.
class PeerPlace {
 public:
  PeerPlace() = default;
  PeerPlace(const PeerPlace&) = delete;
  PeerPlace& operator=(const PeerPlace&) = delete;
  ~PeerPlace() { Forget(); }

  // `uid`: the user who sent from there, -1 when that is not known. False with errno: ENOTSOCK,
  // EACCES for a socket of another user's (root may send from any), or what open(2) says.
  bool Find(const UnixAddress& peer, int64_t uid);
  void Forget();
  // To send or connect to; valid until Forget.
  const UnixAddress& name() const { return name_; }

 private:
  int fd_ = -1;
  UnixAddress name_;
};

// A socket of no address that is connected to a place; -1 with errno.
int ConnectDatagram(const PeerPlace& place);

// Whether the errno of a look, a connect or a send says that the peer is at that address no more.
bool IsGone(int error);

// An address as bytes for JavaScript (UnixAddress::Key), and back. Null in an environment that is
// about to end: a worker that was terminated within a batch.
napi_value WriteAddress(Napi::Env env, const UnixAddress& address);
bool ReadAddress(const Napi::Value& value, UnixAddress* address);

}  // namespace vmbridge

#endif  // VMBRIDGE_UNIX_DATAGRAM_H_

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

// Whether an address leads to a socket through no symbolic link as the last part of a path: who may
// remove his socket may lay one in its place. False with errno.
bool IsSocketItself(const UnixAddress& address);

// A socket of no address that is connected to `peer`, which must be a socket itself; -1 with errno.
int ConnectDatagram(const UnixAddress& peer);

// An address as bytes for JavaScript (UnixAddress::Key), and back. Null in an environment that is
// about to end: a worker that was terminated within a batch.
napi_value WriteAddress(Napi::Env env, const UnixAddress& address);
bool ReadAddress(const Napi::Value& value, UnixAddress* address);

}  // namespace vmbridge

#endif  // VMBRIDGE_UNIX_DATAGRAM_H_

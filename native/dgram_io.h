// A datagram port's native half: every datagram is a frame, without a length before it.
//
// There are three ways to the VM, told by what it is:
//
//   - a pair: the other end of a socketpair is the VM's, and frames come and go by this descriptor.
//   - a free peer: the VM sends from an address of its own to a bound socket (dgram_socket.h). A
//     socket that is connected to that address sends to it: the kernel says when its queue has
//     room, and what waits for it is in nobody else's way.
//   - a tied peer: the VM has connected its socket to the bound one (vfkit, krunkit). The kernel
//     lets nobody else send to it then, so a second descriptor of the bound socket does, by
//     address. Once that socket is this VM's alone it is connected to it as well (settle): no path
//     is looked up for each frame, and the VM's frames do not wait for a queue of ten.
//
// Out (dgram_out.cc): what the kernel does not take waits in a bounded queue (egress_queue.h) until
// it says that there is room. Where it never says (macOS answers ENOBUFS), a few tries with short
// pauses, then the frames are dropped and counted.
#ifndef VMBRIDGE_DGRAM_IO_H_
#define VMBRIDGE_DGRAM_IO_H_

#include <napi.h>

#include "datagrams.h"
#include "egress_queue.h"
#include "run_io.h"
#include "unix_datagram.h"

namespace vmbridge {

class DgramSocket;

class DgramIo : public Napi::ObjectWrap<DgramIo>, private RunIo {
 public:
  static Napi::Function Define(Napi::Env env);

  // The arguments of RunIo::Open, with one of these in place of the descriptor:
  //   {longest, fd}                one end of a pair
  //   {longest, socket, address}   a DgramSocket, and the peer's address as onPeer got it
  // `longest`: bytes of a full frame, for which slots are made.
  explicit DgramIo(const Napi::CallbackInfo& info);
  ~DgramIo() override;

  bool is_open() const { return open(); }
  // Walks frames that stand in the run from `from` to `end`.
  void WalkStretch(Napi::Env env, size_t from, size_t end);
  void CountTooBig();
  // The peer's frames come by another of the socket's descriptors now: it was started anew.
  void MoveTo(int bound_fd);
  void Forget() {
    socket_ = nullptr;
    ForgetBound();
  }
  // The descriptor that the peer's frames came by is closed: its number is another's soon.
  void ForgetBound() { bound_fd_ = -1; }
  // Which descriptor of the bound socket the peer's frames come by.
  int bound_fd() const { return bound_fd_; }
  bool is_tied() const { return is_tied_; }

 private:
  enum class Way { kSent, kWait, kDropped, kGone };

  void Transmit(const Napi::CallbackInfo& info) { TransmitCall(info); }
  void Close(const Napi::CallbackInfo&) { Release(); }
  Napi::Value Slot(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), slot()); }
  Napi::Value SlotBytes(const Napi::CallbackInfo& info);
  Napi::Value QueuedBytes(const Napi::CallbackInfo& info);
  Napi::Value IsTied(const Napi::CallbackInfo& info);
  void Settle(const Napi::CallbackInfo& info);
  // Looks whether the peer is still there; the port ends if it is not.
  void Check(const Napi::CallbackInfo& info);

  void OpenPair(const Napi::CallbackInfo& info, const Napi::Object& source);
  void OpenPeer(const Napi::CallbackInfo& info, const Napi::Object& source);

  void Send(const uint8_t* run, int count, int64_t frames) override;
  void OnReady(int events, bool failed) override;
  void OnRelease() override;

  // Sends up to `count` datagrams; `*done` says how many were, and why no more is returned.
  Way SendSome(const Outgoing* datagrams, int count, int* done, int* retries);
  // A descriptor for the way to the peer, found by looking; -1 with errno.
  int OpenWay();
  bool ReopenWay();
  void ReceivePair(Napi::Env env);
  void Drain();
  void DropQueue(int reason);
  void SayGone();
  void WatchForRoom();

  size_t longest_ = 0;
  bool is_pair_ = false;
  bool is_tied_ = false;
  bool is_settled_ = false;
  bool is_gone_ = false;
  bool is_waiting_ = false;
  // The peer's buffers were full at the last try: no pauses until it takes something.
  bool is_exhausted_ = false;
  DgramSocket* socket_ = nullptr;
  int bound_fd_ = -1;
  UnixAddress peer_;
  // Who was heard from there, and where that is while it is sent to by address.
  int64_t uid_ = -1;
  PeerPlace place_;
  EgressQueue queue_;
  int64_t queued_frames_ = 0;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_DGRAM_IO_H_

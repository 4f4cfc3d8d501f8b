// A stream port's native half: framed runs in by one recv, framed runs out by one sendmsg.
//
// In: when the socket is readable, one recv fills the run buffer that all ports of a network share,
// behind the bytes of a frame that the last recv cut (they wait in `carry_`). JavaScript walks the
// run and answers how many bytes it used. One turn of the loop reads at most one buffer a port.
//
// Out: the stretches that JavaScript noted go out as they stand in the run. What the socket does
// not take is queued (egress_queue.h): the rest of a frame that was cut always, whole frames behind
// it as long as there is room; beyond that they are dropped and counted. The socket never blocks
// anybody.
//
// A VM that speaks datagrams may come by a stream as well, where the port offers that: what it
// sends first is then a word that is no length (unix_datagram.h). We make a datagram pair and
// answer with one end of it; the port ends, and goes on by the other. On every other port, such as
// one that was dialled, the word is broken framing.
#ifndef VMBRIDGE_STREAM_IO_H_
#define VMBRIDGE_STREAM_IO_H_

#include <napi.h>

#include "egress_queue.h"
#include "run_io.h"

namespace vmbridge {

class StreamIo : public Napi::ObjectWrap<StreamIo>, private RunIo {
 public:
  static Napi::Function Define(Napi::Env env);

  // The arguments of RunIo::Open; the descriptor is a non-blocking stream socket.
  explicit StreamIo(const Napi::CallbackInfo& info);
  ~StreamIo() override;

 private:
  void Transmit(const Napi::CallbackInfo& info) { TransmitCall(info); }
  void Close(const Napi::CallbackInfo&) { Release(); }
  // Nothing more is taken from the peer: its writes fail at once, and what it has sent is dropped.
  void Refuse(const Napi::CallbackInfo&);
  // The number by which `departures` names this port.
  Napi::Value Slot(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), slot()); }

  void Send(const uint8_t* run, int count, int64_t frames) override;
  Napi::Value QueuedBytes(const Napi::CallbackInfo& info);

  void OnReady(int events, bool failed) override;
  void OnRelease() override { queue_.Clear(); }
  // One recv and one walk. False when there was nothing, or the port has ended.
  bool Receive(Napi::Env env);
  // From now on the word for datagrams is answered, if it is the first that the peer sends.
  void OfferDatagrams(const Napi::CallbackInfo&) { offers_datagrams_ = true; }
  // Makes a datagram pair and sends one end of it to the other side.
  bool MakePair();
  // Our end of that pair, once, after the port ended with `datagrams`; else undefined. The caller
  // owns it.
  Napi::Value Passed(const Napi::CallbackInfo& info);
  bool KeepRest(size_t used, size_t length);
  void Drain();
  // Writes the stretches; returns the bytes taken, or -1 when the socket is broken.
  ssize_t Write(const uint8_t* run, int count);
  void QueueRest(const uint8_t* run, int count, size_t sent, int64_t frames);
  void WatchForRoom();

  uint8_t* carry_ = nullptr;
  size_t carry_length_ = 0;
  size_t carry_capacity_ = 0;
  bool waiting_for_room_ = false;
  bool send_failed_ = false;
  bool offers_datagrams_ = false;
  int passed_ = -1;
  EgressQueue queue_;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_STREAM_IO_H_

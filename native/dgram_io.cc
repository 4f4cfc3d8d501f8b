#include "dgram_io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "counters.h"
#include "dgram_socket.h"
#include "environment.h"
#include "unix_datagram.h"
#include "uv_api.h"

namespace vmbridge {

Napi::Function DgramIo::Define(Napi::Env env) {
  return DefineClass(
      env, "DgramIo",
      {InstanceMethod("transmit", &DgramIo::Transmit), InstanceMethod("close", &DgramIo::Close),
       InstanceMethod("slot", &DgramIo::Slot), InstanceMethod("slotBytes", &DgramIo::SlotBytes),
       InstanceMethod("queuedBytes", &DgramIo::QueuedBytes),
       InstanceMethod("isTied", &DgramIo::IsTied), InstanceMethod("settle", &DgramIo::Settle),
       InstanceMethod("check", &DgramIo::Check)});
}

DgramIo::DgramIo(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DgramIo>(info) {
  Napi::Env env = info.Env();
  queue_.Use(env.GetInstanceData<Environment>()->queue_budget);
  Napi::Object source = info[0].IsObject() ? info[0].As<Napi::Object>() : Napi::Object::New(env);
  if (!source.Get("longest").IsNumber()) {
    Napi::TypeError::New(env, "expected {longest, fd} or {longest, socket, address}")
        .ThrowAsJavaScriptException();
    return;
  }
  longest_ =
      std::clamp<size_t>(source.Get("longest").As<Napi::Number>().Uint32Value(), 64, kMaxFrame);
  if (source.Get("fd").IsNumber()) {
    OpenPair(info, source);
  } else {
    OpenPeer(info, source);
  }
}

void DgramIo::OpenPair(const Napi::CallbackInfo& info, const Napi::Object& source) {
  is_pair_ = true;
  OpenOn(source.Get("fd").As<Napi::Number>().Int32Value(), info);
}

void DgramIo::OpenPeer(const Napi::CallbackInfo& info, const Napi::Object& source) {
  Napi::Env env = info.Env();
  DgramSocket* socket = DgramSocket::Of(source.Get("socket"));
  Napi::Value address = source.Get("address");
  if (socket == nullptr || !ReadAddress(address, &peer_)) {
    Napi::TypeError::New(env, "expected an open DgramSocket and the address of a peer")
        .ThrowAsJavaScriptException();
    return;
  }
  bound_fd_ = socket->bound_fd();
  uid_ = socket->arriving_uid();
  int fd = OpenWay();
  if (fd < 0) {
    ThrowSystemError(env, errno, "connect");
    return;
  }
  OpenOn(fd, info, 0);
  if (!open()) {
    close(fd);
    return;
  }
  socket_ = socket;
  socket_->Add(peer_.Key(), this);
}

DgramIo::~DgramIo() { Release(); }

void DgramIo::OnRelease() {
  queue_.Clear();
  queued_frames_ = 0;
  place_.Forget();
  if (socket_ != nullptr) socket_->Remove(peer_.Key(), this);
  socket_ = nullptr;
}

int DgramIo::OpenWay() {
  int fd = place_.Find(peer_, uid_) ? ConnectDatagram(place_) : -1;
  is_tied_ = fd < 0 && errno == EPERM && bound_fd_ >= 0;
  is_settled_ = false;
  if (is_tied_) return fcntl(bound_fd_, F_DUPFD_CLOEXEC, 0);
  place_.Forget();
  return fd;
}

bool DgramIo::ReopenWay() {
  int fd = OpenWay();
  if (fd < 0) return false;
  Unpoll();
  close(fd_);
  fd_ = fd;
  is_waiting_ = false;
  if (!Poll(Env(), fd, 0)) return false;
  WatchForRoom();
  return true;
}

void DgramIo::MoveTo(int bound_fd) {
  bound_fd_ = bound_fd;
  if (!ReopenWay()) SayGone();
}

void DgramIo::OnReady(int events, bool failed) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  if (is_gone_) {
    End(env, "gone");
    return;
  }
  if (failed) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (is_pair_) {
      ReceivePair(env);  // what it sent before
      End(env, "reset");
      return;
    }
    // The peer has connected its socket elsewhere, or the poller has stopped.
    Watch(is_waiting_ ? kWritable : 0);
    return;
  }
  if (events & kWritable) Drain();
  if (open() && is_pair_ && events & kReadable) ReceivePair(env);
}

void DgramIo::ReceivePair(Napi::Env env) {
  DgramReader& reader = env.GetInstanceData<Environment>()->dgram_reader;
  int count = reader.Receive(fd_, run_, run_capacity_, longest_, false);
  if (count < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK) End(env, Uv().err_name(-errno));
    return;
  }
  size_t slot_bytes = reader.slot_bytes();
  size_t from = 0;
  for (int i = 0; i < count; i++) {
    size_t at = static_cast<size_t>(i) * slot_bytes;
    bool is_too_big = reader.IsTooBig(i);
    bool is_greeting = reader.IsGreeting(i);
    if (!is_too_big && !is_greeting && reader.FitsSlot(i)) continue;
    WalkStretch(env, from, at);
    from = at + slot_bytes;
    if (!open()) return;
    if (is_too_big) {
      CountTooBig();
    } else if (!is_greeting) {
      DgramReader::Place place = reader.Assemble(i);
      WalkStretch(env, place.from, place.end);
    }
  }
  if (open()) WalkStretch(env, from, static_cast<size_t>(count) * slot_bytes);
}

void DgramIo::WalkStretch(Napi::Env env, size_t from, size_t end) {
  if (!open() || end <= from) return;
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();
  Walk(env, end, from);
}

void DgramIo::CountTooBig() {
  if (open()) Count(kDropRxTooBig, 1);
}

Napi::Value DgramIo::SlotBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(kLengthBytes + longest_));
}

Napi::Value DgramIo::QueuedBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(queue_.size()));
}

Napi::Value DgramIo::IsTied(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), is_tied_);
}

void DgramIo::Settle(const Napi::CallbackInfo&) {
  if (!open() || !is_tied_ || is_settled_ || socket_ == nullptr || !socket_->IsOnlyUser(*this))
    return;
  const UnixAddress& to = place_.name();
  is_settled_ = connect(fd_, reinterpret_cast<const struct sockaddr*>(&to.name), to.length) == 0;
  if (is_settled_) place_.Forget();
}

void DgramIo::Check(const Napi::CallbackInfo& info) {
  if (!open() || is_pair_) return;
  PeerPlace place;
  int fd = place.Find(peer_, uid_) ? ConnectDatagram(place) : -1;
  if (fd >= 0) {
    close(fd);
  } else if (IsGone(errno)) {
    End(info.Env(), "gone");
  }
}

}  // namespace vmbridge

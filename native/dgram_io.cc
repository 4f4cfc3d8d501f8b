#include "dgram_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "counters.h"
#include "dgram_socket.h"
#include "environment.h"
#include "unix_datagram.h"
#include "uv_api.h"

namespace vmbridge {

namespace {

// Full buffers that the kernel does not watch for us: as with vmnet_write (vmnet_darwin.cc), pauses
// of 50 us, and ten of them for all that one run sends.
constexpr int kRetries = 10;
constexpr struct timespec kPause = {0, 50 * 1000};

// The length that stands before a queued frame, maybe around the end of the ring.
size_t QueuedLength(const EgressQueue& queue, size_t at) {
  uint8_t prefix[kLengthBytes];
  struct iovec pieces[2];
  int count = queue.PiecesAt(at, kLengthBytes, pieces);
  memcpy(prefix, pieces[0].iov_base, pieces[0].iov_len);
  if (count == 2) memcpy(prefix + pieces[0].iov_len, pieces[1].iov_base, pieces[1].iov_len);
  return FrameLength(prefix);
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

}  // namespace

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

DgramIo::Way DgramIo::SendSome(const Outgoing* datagrams, int count, int* done, int* retries) {
  *done = 0;
  bool reopened = false;
  while (*done < count) {
    int most = std::min(count - *done, kMostOutgoing);
    int sent = SendDatagrams(fd_, datagrams + *done, most,
                             is_tied_ && !is_settled_ ? &place_.name() : nullptr);
    if (sent > 0) {
      *done += sent;
      is_exhausted_ = false;
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Way::kWait;
    if (errno == ENOBUFS || errno == ENOMEM) {
      if (is_exhausted_ || *retries == 0) {
        is_exhausted_ = true;
        return Way::kDropped;
      }
      --*retries;
      nanosleep(&kPause, nullptr);
      continue;
    }
    // A VM that was started anew has another socket at the same address.
    bool is_replaced = IsGone(errno) || errno == EPERM;
    if (is_replaced && !is_pair_ && !reopened) {
      reopened = true;
      if (ReopenWay()) continue;
    }
    if (is_pair_ ? is_replaced : IsGone(errno)) return Way::kGone;
    return Way::kSent;  // this one datagram cannot be sent: too long, or not allowed
  }
  return Way::kSent;
}

void DgramIo::Send(const uint8_t* run, int count, int64_t frames) {
  if (!open() || is_gone_) {
    Count(kDropTxDown, frames);
    return;
  }
  Outgoing batch[kMostOutgoing];
  int filled = 0;
  int retries = kRetries;
  int64_t taken = 0;
  int64_t bytes = 0;
  int64_t full = 0;
  int64_t refused = 0;
  int64_t down = 0;
  auto queue = [&](const Outgoing& datagram) {
    auto* at = static_cast<uint8_t*>(datagram.pieces[0].iov_base) - kLengthBytes;
    if (!queue_.Append(at, kLengthBytes + datagram.pieces[0].iov_len, false)) {
      full++;
      return;
    }
    queued_frames_++;
    taken++;
    bytes += static_cast<int64_t>(datagram.pieces[0].iov_len);
  };
  auto flush = [&] {
    for (int at = 0; at < filled;) {
      int done = 0;
      Way way = !queue_.empty() ? Way::kWait
                : is_gone_      ? Way::kGone
                                : SendSome(batch + at, filled - at, &done, &retries);
      for (int end = at + done; at < end; at++) {
        taken++;
        bytes += static_cast<int64_t>(batch[at].pieces[0].iov_len);
      }
      if (at == filled) break;
      if (way == Way::kSent) {
        refused++;
        at++;
        continue;
      }
      if (way == Way::kGone) SayGone();
      for (; at < filled; at++) {
        if (way == Way::kWait) queue(batch[at]);
        if (way == Way::kDropped) full++;
        if (way == Way::kGone) down++;
      }
    }
    filled = 0;
  };
  for (int i = 0; i < count; i++) {
    const uint8_t* at = run + stretches_[i].offset;
    const uint8_t* end = at + stretches_[i].length;
    while (at < end) {
      size_t length = FrameLength(at);
      batch[filled++] = {{{const_cast<uint8_t*>(at + kLengthBytes), length}, {}}, 1};
      if (filled == kMostOutgoing) flush();
      at += kLengthBytes + length;
    }
  }
  flush();
  Count(kTxFrames, taken);
  Count(kTxBytes, bytes);
  Count(kDropTxFull, full);
  Count(kDropTxError, refused);
  Count(kDropTxDown, down);
  WatchForRoom();
}

void DgramIo::Drain() {
  int retries = kRetries;
  while (open() && !queue_.empty() && !is_gone_) {
    Outgoing batch[kMostOutgoing];
    int filled = 0;
    size_t at = 0;
    while (filled < kMostOutgoing && at < queue_.size()) {
      size_t length = QueuedLength(queue_, at);
      batch[filled].count = queue_.PiecesAt(at + kLengthBytes, length, batch[filled].pieces);
      at += kLengthBytes + length;
      filled++;
    }
    int done = 0;
    Way way = SendSome(batch, filled, &done, &retries);
    if (way == Way::kSent && done < filled) {
      // Counted as sent when it was queued.
      size_t length = batch[done].pieces[0].iov_len;
      if (batch[done].count == 2) length += batch[done].pieces[1].iov_len;
      Count(kTxFrames, -1);
      Count(kTxBytes, -static_cast<int64_t>(length));
      Count(kDropTxError, 1);
      done++;
    }
    size_t used = 0;
    for (int i = 0; i < done; i++) {
      used += kLengthBytes + batch[i].pieces[0].iov_len;
      if (batch[i].count == 2) used += batch[i].pieces[1].iov_len;
    }
    if (used > 0) queue_.Consume(used);
    queued_frames_ -= done;
    if (way == Way::kWait) {
      // Room was said to be, and there is none: a VM that is tied no more has a queue of its own
      // that is full, of which a socket tells that is connected to it.
      bool is_untied = done == 0 && is_tied_ && !is_settled_;
      if (is_untied && !ReopenWay() && IsGone(errno)) SayGone();
      break;
    }
    if (way == Way::kDropped) DropQueue(kDropTxFull);
    if (way == Way::kGone) SayGone();
  }
  WatchForRoom();
}

void DgramIo::DropQueue(int reason) {
  int64_t bytes =
      static_cast<int64_t>(queue_.size()) - queued_frames_ * static_cast<int64_t>(kLengthBytes);
  Count(kTxFrames, -queued_frames_);
  Count(kTxBytes, -bytes);
  Count(reason, queued_frames_);
  queued_frames_ = 0;
  queue_.Clear();
}

// The peer is gone. Said from the loop, since this may be in the midst of another port's run: a
// descriptor without a peer is always writable.
void DgramIo::SayGone() {
  is_gone_ = true;
  DropQueue(kDropTxDown);
  WatchForRoom();
}

void DgramIo::WatchForRoom() {
  if (!open()) return;
  bool wanted = is_gone_ || !queue_.empty();
  if (wanted == is_waiting_) return;
  is_waiting_ = wanted;
  Watch((is_pair_ ? kReadable : 0) | (wanted ? kWritable : 0));
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

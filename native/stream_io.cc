#include "stream_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "counters.h"
#include "environment.h"
#include "unix_datagram.h"
#include "uv_api.h"

namespace vmbridge {

namespace {
#ifdef MSG_NOSIGNAL
constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
#else
constexpr int kSendFlags = MSG_DONTWAIT;  // macOS: Node ignores SIGPIPE
#endif
// The beginning of a jumbo frame fits; what a frame of 64 KiB took is given back.
constexpr size_t kKeptCarry = 16 * 1024;
}  // namespace

Napi::Function StreamIo::Define(Napi::Env env) {
  return DefineClass(
      env, "StreamIo",
      {InstanceMethod("transmit", &StreamIo::Transmit), InstanceMethod("close", &StreamIo::Close),
       InstanceMethod("slot", &StreamIo::Slot), InstanceMethod("refuse", &StreamIo::Refuse),
       InstanceMethod("queuedBytes", &StreamIo::QueuedBytes),
       InstanceMethod("offerDatagrams", &StreamIo::OfferDatagrams),
       InstanceMethod("passed", &StreamIo::Passed)});
}

namespace {
// macOS gives a Unix stream 8 KiB each way, five full frames, and would cut every run; Linux has
// 208 KiB as it is. Not measured on a Mac.
void WidenBuffers([[maybe_unused]] const Napi::Value& fd) {
#ifdef __APPLE__
  if (!fd.IsNumber()) return;
  int size = 256 * 1024;
  for (int option : {SO_SNDBUF, SO_RCVBUF}) {
    setsockopt(fd.As<Napi::Number>().Int32Value(), SOL_SOCKET, option, &size, sizeof size);
  }
#endif
}
}  // namespace

StreamIo::StreamIo(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StreamIo>(info) {
  WidenBuffers(info[0]);
  queue_.Use(info.Env().GetInstanceData<Environment>()->queue_budget);
  Open(info);
}

StreamIo::~StreamIo() {
  Release();
  if (passed_ >= 0) close(passed_);
  free(carry_);
}

// What the peer has in flight is read, as a QEMU whose write found the socket full tries again only
// when there is room, and is to find then that it cannot.
void StreamIo::Refuse(const Napi::CallbackInfo&) {
  if (!open()) return;
  Unpoll();
  shutdown(fd_, SHUT_RD);
  while (recv(fd_, run_, run_capacity_, MSG_DONTWAIT) > 0) {
  }
}

void StreamIo::Send(const uint8_t* run, int count, int64_t frames) {
  if (!open() || send_failed_) {
    Count(kDropTxDown, frames);
    return;
  }
  if (!queue_.empty()) {
    QueueRest(run, count, 0, frames);
    return;
  }

  size_t total = 0;
  for (int i = 0; i < count; i++) total += static_cast<size_t>(stretches_[i].length);
  ssize_t sent = Write(run, count);
  if (sent < 0) {
    Count(kDropTxError, frames);
    send_failed_ = true;  // the read side will say how the port ended
    return;
  }
  if (static_cast<size_t>(sent) < total) {
    QueueRest(run, count, static_cast<size_t>(sent), frames);
    return;
  }
  Count(kTxFrames, frames);
  Count(kTxBytes, static_cast<int64_t>(total) - static_cast<int64_t>(kLengthBytes) * frames);
}

ssize_t StreamIo::Write(const uint8_t* run, int count) {
  ssize_t sent;
  if (count == 1) {
    do {
      sent = send(fd_, run + stretches_[0].offset, static_cast<size_t>(stretches_[0].length),
                  kSendFlags);
    } while (sent < 0 && errno == EINTR);
  } else {
    struct iovec pieces[kMaxStretches];
    for (int i = 0; i < count; i++) {
      pieces[i] = {const_cast<uint8_t*>(run) + stretches_[i].offset,
                   static_cast<size_t>(stretches_[i].length)};
    }
    struct msghdr message = {};
    message.msg_iov = pieces;
    message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
    do {
      sent = sendmsg(fd_, &message, kSendFlags);
    } while (sent < 0 && errno == EINTR);
  }
  if (sent >= 0) return sent;
  // ENOBUFS: the kernel is short of memory for now, which is no fault of the port.
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

// Counts the frames that were sent whole, queues the rest of the one that was cut, and whole frames
// behind it while there is room.
void StreamIo::QueueRest(const uint8_t* run, int count, size_t sent, int64_t frames) {
  int64_t taken = 0;
  size_t taken_bytes = 0;
  bool full = false;
  size_t position = 0;  // of the stretch's first byte in what was to be sent
  for (int i = 0; i < count && !full; i++) {
    const uint8_t* at = run + stretches_[i].offset;
    const uint8_t* end = at + stretches_[i].length;
    while (at < end) {
      size_t whole = kLengthBytes + FrameLength(at);
      if (position + whole > sent) {
        size_t skip = sent > position ? sent - position : 0;
        if (!queue_.Append(at + skip, whole - skip, skip > 0)) {
          // Only a cut frame that cannot be finished breaks the framing; that takes a lack of
          // memory.
          if (skip > 0) {
            send_failed_ = true;
            shutdown(fd_, SHUT_RDWR);
          }
          full = true;
          break;
        }
      }
      taken++;
      taken_bytes += whole - kLengthBytes;
      position += whole;
      at += whole;
    }
  }
  Count(kTxFrames, taken);
  Count(kTxBytes, static_cast<int64_t>(taken_bytes));
  Count(kDropTxFull, frames - taken);
  WatchForRoom();
}

void StreamIo::WatchForRoom() {
  bool wanted = !queue_.empty() && !send_failed_;
  if (wanted == waiting_for_room_) return;
  waiting_for_room_ = wanted;
  Watch(wanted ? kReadable | kWritable : kReadable);
}

void StreamIo::Drain() {
  while (!queue_.empty()) {
    struct msghdr message = {};
    struct iovec pieces[2];
    message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(queue_.Pieces(pieces));
    message.msg_iov = pieces;
    ssize_t sent = sendmsg(fd_, &message, kSendFlags);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) break;
      send_failed_ = true;
      queue_.Clear();
      break;
    }
    queue_.Consume(static_cast<size_t>(sent));
  }
  WatchForRoom();
}

void StreamIo::OnReady(int events, bool failed) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  if (failed) {
    // The peer went with bytes of ours unread. What it sent before is still to be forwarded.
    while (Receive(env)) {
    }
    End(env, "reset");
    return;
  }
  if (events & kWritable) Drain();
  if (open() && events & kReadable) Receive(env);
}

bool StreamIo::Receive(Napi::Env env) {
  if (carry_length_ > 0) memcpy(run_, carry_, carry_length_);
  ssize_t received;
  bool reset = false;
  for (;;) {
    received = recv(fd_, run_ + carry_length_, run_capacity_ - carry_length_, MSG_DONTWAIT);
    if (received >= 0) break;
    if (errno == EINTR) continue;
    if (errno == ECONNRESET && !reset) {
      reset = true;  // reported once, before the bytes that are still there
      continue;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) End(env, Uv().err_name(-errno));
    return false;
  }
  if (received == 0) {
    End(env, carry_length_ > 0 ? "truncated" : reset ? "reset" : "eof");
    return false;
  }
  size_t length = carry_length_ + static_cast<size_t>(received);
  if (offers_datagrams_ && length >= sizeof kDatagrams) {
    offers_datagrams_ = false;
    if (length == sizeof kDatagrams && memcmp(run_, kDatagrams, length) == 0 && MakePair()) {
      End(env, "datagrams");
      return false;
    }
  }
  int64_t used = Walk(env, length);
  if (used < 0) return false;
  if (KeepRest(static_cast<size_t>(used), length)) return true;
  End(env, "ENOMEM");
  return false;
}

bool StreamIo::MakePair() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return false;
  for (int fd : pair) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    WidenDatagramBuffers(fd);
  }
  // Behind whatever was sent on the stream: the last word before it closes.
  bool is_sent = SendWithDescriptor(fd_, pair[1], kSendFlags);
  close(pair[1]);
  if (is_sent) {
    passed_ = pair[0];
  } else {
    close(pair[0]);
  }
  return is_sent;
}

Napi::Value StreamIo::Passed(const Napi::CallbackInfo& info) {
  if (passed_ < 0) return info.Env().Undefined();
  int fd = passed_;
  passed_ = -1;
  return Napi::Number::New(info.Env(), fd);
}

// The beginning of a frame that is not whole yet waits outside the run buffer, which the next port
// will use.
bool StreamIo::KeepRest(size_t used, size_t length) {
  carry_length_ = length - used;
  if (carry_length_ == 0 && carry_capacity_ > kKeptCarry) {
    free(carry_);
    carry_ = nullptr;
    carry_capacity_ = 0;
  }
  if (carry_length_ > carry_capacity_) {
    size_t capacity = std::max(carry_length_, 2 * carry_capacity_);
    auto* carry = static_cast<uint8_t*>(realloc(carry_, capacity));
    if (carry == nullptr) return false;
    carry_ = carry;
    carry_capacity_ = capacity;
  }
  if (carry_length_ > 0) memcpy(carry_, run_ + used, carry_length_);
  return true;
}

Napi::Value StreamIo::QueuedBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(queue_.size()));
}

}  // namespace vmbridge

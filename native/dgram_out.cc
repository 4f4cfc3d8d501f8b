// A datagram port's way out: frames as datagrams, and what the kernel does not take at once.
#include <errno.h>
#include <string.h>
#include <time.h>

#include <algorithm>

#include "counters.h"
#include "dgram_io.h"

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

}  // namespace

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

}  // namespace vmbridge

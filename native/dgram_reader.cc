#include "dgram_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

namespace vmbridge {

namespace {
constexpr char kGreeting[] = {'V', 'F', 'K', 'T'};
constexpr size_t kTail = kLengthBytes + kMaxFrame;
}  // namespace

int DgramReader::Receive(int fd, uint8_t* run, size_t run_capacity, size_t longest,
                         bool with_senders) {
  if (rests_ == nullptr) {
    rests_ = {static_cast<uint8_t*>(malloc(DatagramReceiver::kMost * kMaxFrame)), free};
    if (rests_ == nullptr) {
      errno = ENOMEM;
      return -1;
    }
  }
  run_ = run;
  // Half of a run for one slot is for frames of no MTU that there is.
  longest_ = std::min(longest, (run_capacity - kTail) / 2 - kLengthBytes);
  size_t slots = std::min<size_t>((run_capacity - kTail) / slot_bytes(), DatagramReceiver::kMost);
  tail_ = slots * slot_bytes();
  for (size_t i = 0; i < slots; i++) {
    datagrams_[i].pieces[0] = {run + i * slot_bytes() + kLengthBytes, longest_};
    datagrams_[i].pieces[1] = {rests_.get() + i * kMaxFrame, kMaxFrame};
  }
  int received = receiver_.Receive(fd, datagrams_.data(), static_cast<int>(slots), with_senders);
  for (int i = 0; i < received; i++) {
    // An empty datagram becomes a runt, which the switch drops and counts.
    size_t length = std::max<size_t>((*this)[i].length, 1);
    PutFrameLength(run + static_cast<size_t>(i) * slot_bytes(), static_cast<uint32_t>(length));
  }
  return received;
}

bool DgramReader::IsGreeting(int i) const {
  const Datagram& datagram = (*this)[i];
  return datagram.length == sizeof kGreeting &&
         memcmp(datagram.pieces[0].iov_base, kGreeting, sizeof kGreeting) == 0;
}

DgramReader::Place DgramReader::Assemble(int i) {
  const Datagram& datagram = (*this)[i];
  uint8_t* at = run_ + tail_;
  PutFrameLength(at, static_cast<uint32_t>(datagram.length));
  memcpy(at + kLengthBytes, datagram.pieces[0].iov_base, longest_);
  memcpy(at + kLengthBytes + longest_, datagram.pieces[1].iov_base, datagram.length - longest_);
  return {tail_, tail_ + kLengthBytes + datagram.length};
}

}  // namespace vmbridge

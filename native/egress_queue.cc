#include "egress_queue.h"

#include <stdlib.h>
#include <string.h>

namespace vmbridge {

namespace {
constexpr size_t kFirstCapacity = 32 * 1024;
// A drained queue up to this size is kept: a port at the edge of its reader's pace fills and drains
// it often.
constexpr size_t kKeptCapacity = 64 * 1024;
}  // namespace

EgressQueue::~EgressQueue() { Clear(); }

bool EgressQueue::Append(const uint8_t* bytes, size_t length, bool is_rest_of_frame) {
  if (size_ + length > kLimit || !Reserve(size_ + length, is_rest_of_frame)) return false;
  size_t tail = head_ + size_;
  if (tail >= capacity_) tail -= capacity_;
  size_t first = capacity_ - tail < length ? capacity_ - tail : length;
  memcpy(data_ + tail, bytes, first);
  memcpy(data_, bytes + first, length - first);
  size_ += length;
  return true;
}

int EgressQueue::PiecesAt(size_t at, size_t length, struct iovec pieces[2]) const {
  size_t start = head_ + at;
  if (start >= capacity_) start -= capacity_;
  size_t first = capacity_ - start < length ? capacity_ - start : length;
  pieces[0] = {data_ + start, first};
  pieces[1] = {data_, length - first};
  return length > first ? 2 : 1;
}

void EgressQueue::Consume(size_t length) {
  head_ += length;
  if (head_ >= capacity_) head_ -= capacity_;
  size_ -= length;
  if (size_ > 0) return;
  head_ = 0;
  if (capacity_ > kKeptCapacity) Clear();
}

void EgressQueue::Clear() {
  free(data_);
  data_ = nullptr;
  if (budget_ != nullptr) budget_->held -= capacity_;
  capacity_ = head_ = size_ = 0;
}

bool EgressQueue::Reserve(size_t needed, bool over_budget) {
  if (needed <= capacity_) return true;
  size_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_;
  while (capacity < needed) capacity *= 2;
  size_t growth = capacity - capacity_;
  bool within_budget =
      capacity <= QueueBudget::kOwn || budget_->held + growth <= QueueBudget::kLimit;
  if (!over_budget && !within_budget) return false;
  auto* data = static_cast<uint8_t*>(malloc(capacity));
  if (data == nullptr) return false;
  if (size_ > 0) {
    struct iovec pieces[2];
    int count = Pieces(pieces);
    memcpy(data, pieces[0].iov_base, pieces[0].iov_len);
    if (count == 2) memcpy(data + pieces[0].iov_len, pieces[1].iov_base, pieces[1].iov_len);
  }
  free(data_);
  data_ = data;
  capacity_ = capacity;
  budget_->held += growth;
  head_ = 0;
  return true;
}

}  // namespace vmbridge

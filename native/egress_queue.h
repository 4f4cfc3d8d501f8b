// The bytes that a stream port could not take yet: a bounded ring, grown and freed as needed, so
// that a port that keeps up holds no memory. It only ever holds the rest of a frame that was cut by
// a partial write, and whole frames behind it.
#ifndef VMBRIDGE_EGRESS_QUEUE_H_
#define VMBRIDGE_EGRESS_QUEUE_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <memory>
#include <utility>

namespace vmbridge {

// Bytes that the queues of an environment hold together. A user who plugs in many ports that never
// read can cost no more than this; 64 stalled VMs are allowed their full queues.
struct QueueBudget {
  static constexpr size_t kLimit = 32 * 1024 * 1024;
  static constexpr size_t kOwn = 64 * 1024;
  size_t held = 0;
};

class EgressQueue {
 public:
  // What one port may hold back: about what a TCP window of 340 full frames needs. Beyond it frames
  // are dropped at the tail.
  static constexpr size_t kLimit = 512 * 1024;

  EgressQueue() = default;
  EgressQueue(const EgressQueue&) = delete;
  EgressQueue& operator=(const EgressQueue&) = delete;
  ~EgressQueue();

  void Use(std::shared_ptr<QueueBudget> budget) { budget_ = std::move(budget); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Appends a frame, or returns false when that would pass a limit or memory is short; nothing is
  // appended then. What is left of a frame that was cut is appended whatever the budget says.
  bool Append(const uint8_t* bytes, size_t length, bool is_rest_of_frame);
  // The queued bytes in order, as one or two pieces. Returns how many.
  int Pieces(struct iovec pieces[2]) const { return PiecesAt(0, size_, pieces); }
  // The same of the `length` bytes that stand `at` bytes behind the front.
  int PiecesAt(size_t at, size_t length, struct iovec pieces[2]) const;
  // Drops `length` bytes at the front, once they are written.
  void Consume(size_t length);
  void Clear();

 private:
  bool Reserve(size_t capacity, bool over_budget);

  std::shared_ptr<QueueBudget> budget_;
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_EGRESS_QUEUE_H_

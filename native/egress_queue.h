// The bytes that a stream port could not take yet: a bounded ring, grown and freed as needed, so
// that a port that keeps up holds no memory. It only ever holds the rest of a frame that was cut by
// a partial write, and whole frames behind it.
#ifndef VMBRIDGE_EGRESS_QUEUE_H_
#define VMBRIDGE_EGRESS_QUEUE_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

namespace vmbridge {

class EgressQueue {
 public:
  // What one port may hold back: about what a TCP window of 340 full frames needs. Beyond it frames
  // are dropped at the tail. 64 stalled ports hold 32 MiB.
  static constexpr size_t kLimit = 512 * 1024;

  EgressQueue() = default;
  EgressQueue(const EgressQueue&) = delete;
  EgressQueue& operator=(const EgressQueue&) = delete;
  ~EgressQueue();

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Appends, or returns false when that would pass the limit or memory is short; nothing is
  // appended then.
  bool Append(const uint8_t* bytes, size_t length);
  // The queued bytes in order, as one or two pieces. Returns how many.
  int Pieces(struct iovec pieces[2]) const;
  // Drops `length` bytes at the front, once they are written.
  void Consume(size_t length);
  void Clear();

 private:
  bool Reserve(size_t capacity);

  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_EGRESS_QUEUE_H_

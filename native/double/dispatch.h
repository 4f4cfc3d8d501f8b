// What the double itself does with dispatch queues.
#ifndef VMNET_DOUBLE_DISPATCH_H_
#define VMNET_DOUBLE_DISPATCH_H_

#include <dispatch/dispatch.h>

#include <functional>

namespace vmnet_double {

void RetainQueue(dispatch_queue_t queue);
void Dispatch(dispatch_queue_t queue, std::function<void()> work);
// Whether the calling thread runs a block of this queue.
bool IsCurrentQueue(dispatch_queue_t queue);

// A block that is kept: copied to the heap, released when the last of these goes.
//
// The blocks runtime counts references where a race detector cannot see it; one lock around copying
// and releasing shows the order. It is recursive since releasing a block destroys what it captured.
void* CopyBlock(const void* block);
void ReleaseBlock(const void* block);

template <typename Block>
class KeptBlock {
 public:
  explicit KeptBlock(Block block) : block_(reinterpret_cast<Block>(CopyBlock(block))) {}
  KeptBlock(const KeptBlock& other) : KeptBlock(other.block_) {}
  KeptBlock& operator=(const KeptBlock&) = delete;
  ~KeptBlock() { ReleaseBlock(reinterpret_cast<const void*>(block_)); }
  template <typename... Arguments>
  void operator()(Arguments... arguments) const {
    block_(arguments...);
  }

 private:
  const Block block_;
};

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_DISPATCH_H_

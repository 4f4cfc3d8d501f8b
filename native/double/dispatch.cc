// Serial dispatch queues: one thread a queue, first in, first out. A queue lives until its last
// reference is released and what was dispatched to it has run.
#include "dispatch.h"

#include <Block.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "double.h"

namespace vmnet_double {

namespace {

class Queue;
thread_local Queue* current_queue = nullptr;

// Never destroyed: threads may still run while the process exits.
Registry& Queues() {
  static Registry& queues = *new Registry("a dispatch queue", kLiveQueues);
  return queues;
}

class Queue {
 public:
  static Queue* Create() {
    auto queue = new Queue;
    Queues().Add(queue);
    std::thread([queue] { queue->Run(); }).detach();
    return queue;
  }

  static Queue* Of(const void* queue, const char* function) {
    Queues().Check(queue, function);
    return const_cast<Queue*>(static_cast<const Queue*>(queue));
  }

  void Retain() {
    std::lock_guard<std::mutex> lock(mutex_);
    references_++;
  }

  void Release() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--references_ > 0) return;
    // From here on nobody has it but its thread. Before the thread can end it, or it would be told
    // for a later queue at this address.
    Queues().Remove(this);
    changed_.notify_one();
  }

  void Push(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_one();
  }

 private:
  void Run() {
    current_queue = this;
    for (;;) {
      std::function<void()> work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return !work_.empty() || references_ == 0; });
        if (work_.empty()) break;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
    delete this;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  int references_ = 1;
};

std::recursive_mutex& BlocksMutex() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;
  return mutex;
}

}  // namespace

void RetainQueue(dispatch_queue_t queue) { Queue::Of(queue, "retain")->Retain(); }

void Dispatch(dispatch_queue_t queue, std::function<void()> work) {
  Queue::Of(queue, "dispatch_async")->Push(std::move(work));
}

bool IsCurrentQueue(dispatch_queue_t queue) {
  return current_queue != nullptr && static_cast<void*>(queue) == current_queue;
}

void* CopyBlock(const void* block) {
  std::lock_guard<std::recursive_mutex> lock(BlocksMutex());
  return _Block_copy(block);
}

void ReleaseBlock(const void* block) {
  std::lock_guard<std::recursive_mutex> lock(BlocksMutex());
  _Block_release(block);
}

}  // namespace vmnet_double

using namespace vmnet_double;

dispatch_queue_t dispatch_queue_create(const char*, dispatch_queue_attr_t attr) {
  if (attr != nullptr) Die("dispatch_queue_create: there are only serial queues");
  return static_cast<dispatch_queue_t>(static_cast<void*>(Queue::Create()));
}

void dispatch_async(dispatch_queue_t queue, dispatch_block_t block) {
  Dispatch(queue, [kept = KeptBlock<dispatch_block_t>(block)] { kept(); });
}

void dispatch_release(dispatch_object_t object) {
  Queue::Of(object, "dispatch_release")->Release();
}

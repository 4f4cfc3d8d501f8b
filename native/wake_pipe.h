// Wakes the loop from another thread, by a descriptor that it polls.
#ifndef VMBRIDGE_WAKE_PIPE_H_
#define VMBRIDGE_WAKE_PIPE_H_

#include <atomic>
#include <mutex>

namespace vmbridge {

// Wakes the loop from another thread: a pipe that holds at most one byte.
class WakePipe {
 public:
  ~WakePipe();
  // False (errno set) when there are no descriptors.
  bool Open();
  // From any thread.
  void Signal();
  // On the loop's thread, before looking for what it was woken for.
  void Drain(int read_fd);
  // The end to poll; the caller closes it.
  int TakeReadEnd();
  // No wake-up after this. Closes the read end as well, unless it was taken.
  void Close();

 private:
  std::mutex mutex_;
  std::atomic<bool> signalled_{false};
  int read_fd_ = -1;
  int write_fd_ = -1;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_WAKE_PIPE_H_

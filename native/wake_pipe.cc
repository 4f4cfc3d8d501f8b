#include "wake_pipe.h"

#include <fcntl.h>
#include <unistd.h>

namespace vmbridge {

WakePipe::~WakePipe() { Close(); }

bool WakePipe::Open() {
  int fds[2];
  if (pipe(fds) != 0) return false;
  for (int fd : fds) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  read_fd_ = fds[0];
  write_fd_ = fds[1];
  return true;
}

void WakePipe::Signal() {
  if (signalled_.exchange(true)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  // One byte into an empty pipe: it cannot be full. A reader that has gone needs no wake-up (Node
  // ignores SIGPIPE).
  if (write_fd_ >= 0) [[maybe_unused]]
    ssize_t written = write(write_fd_, "", 1);
}

void WakePipe::Drain(int read_fd) {
  char byte;
  while (read(read_fd, &byte, 1) > 0) {
  }
  // After the read: a signal that came before it is answered by the look that follows, which sees
  // what was there when it came (hence the exchange, not a mere store).
  signalled_.exchange(false);
}

int WakePipe::TakeReadEnd() {
  int fd = read_fd_;
  read_fd_ = -1;
  return fd;
}

void WakePipe::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (write_fd_ >= 0) close(write_fd_);
  write_fd_ = -1;
  if (read_fd_ >= 0) close(read_fd_);
  read_fd_ = -1;
}

}  // namespace vmbridge

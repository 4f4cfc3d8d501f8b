// launcher NODE SCRIPT ARGS...: notes what this process inherited and Node will change
// (inherited.h), then becomes Node in place, so that `vmbridge run` can hand it on as it came.
// Nothing else: PID, arguments, environment and descriptors stay.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "inherited.h"

static uint64_t ignored_signals(void) {
  uint64_t mask = 0;
  for (int number = 1; number <= VMBRIDGE_SIGNALS; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
      mask |= (uint64_t)1 << (number - 1);
    }
  }
  return mask;
}

static uint64_t blocked_signals(void) {
  uint64_t mask = 0;
  sigset_t blocked;
  if (sigprocmask(SIG_BLOCK, NULL, &blocked) != 0) return 0;
  for (int number = 1; number <= VMBRIDGE_SIGNALS; number++) {
    if (sigismember(&blocked, number) == 1) mask |= (uint64_t)1 << (number - 1);
  }
  return mask;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: launcher NODE SCRIPT ARGS...\n");
    return 2;
  }
  static char text[64 + 8 * VMBRIDGE_DESCRIPTORS];
  size_t length =
      (size_t)snprintf(text, sizeof text, "%llx:%llx:", (unsigned long long)ignored_signals(),
                       (unsigned long long)blocked_signals());
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    length += (size_t)snprintf(text + length, sizeof text - length, "%llu",
                               (unsigned long long)limit.rlim_cur);
  } else {
    length += (size_t)snprintf(text + length, sizeof text - length, "-");
  }
  char separator = ':';
  for (int fd = 0; fd < VMBRIDGE_DESCRIPTORS; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_GETFD) & FD_CLOEXEC) continue;
    length += (size_t)snprintf(text + length, sizeof text - length, "%c%d%s", separator, fd,
                               flags & O_NONBLOCK ? "n" : "");
    separator = ',';
  }
  setenv(VMBRIDGE_INHERITED, text, 1);
  execvp(argv[1], argv + 1);
  fprintf(stderr, "vmbridge: cannot start %s: %s\n", argv[1], strerror(errno));
  return errno == ENOENT ? 127 : 126;
}

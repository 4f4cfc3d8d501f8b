// The ceiling: what a userspace process can move between two Unix stream sockets when it does
// nothing but copy.
//
//   copy SOCKET
//
// Listens on SOCKET, accepts exactly two peers, and from then on passes the bytes of each to the
// other without looking at them: no framing, no addresses, no table. A switch has to do all of this
// and decide where each frame goes as well, so this is the pace it is raced against. It ends when
// either peer hangs up.
//
// What was tried (Linux 6.18 on 2 virtual cores; kpps, 20 slices of 0.1 s in turn; p50 of a round
// trip on one core; a frame a write, then 32 a write):
//
//                                         64 B  1514 B  64 B/32  1514 B/32  round trip
//   poll, 64 KiB                           549     404     3830       1538     27.7 us
//   poll, 128 KiB (this)                   542     456     3695       1565     26.9 us
//   poll, 128 KiB, up to 2 recv a turn     533     412     3717       1517     28.9 us
//   poll, 128 KiB, up to 8 recv a turn     534     408     3677       1660     28.7 us
//   epoll, 128 KiB                         496     406     3511       1459     28.3 us
//
// 5 % either way is noise. 16 KiB is slower with large bursts; 256 KiB is no quicker than 128.
//
// Each direction has a buffer of its own. A turn takes one recv from a socket that is readable and
// sends what came at once; only what the far side had no room for is held, and while anything is
// held its source is not polled for input but its destination for room, so a slow reader is waited
// for as a blocking write would wait, and the other direction goes on.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_BYTES (128 * 1024)

struct direction {
  int from, to;
  size_t start, end;  // what is held: bytes [start, end) of buffer
  char buffer[BUFFER_BYTES];
};

static struct direction directions[2];
static const char* socket_path;

static void fail(const char* what) {
  fprintf(stderr, "copy: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void remove_socket(void) { unlink(socket_path); }

static void stop(int signal_number) {
  (void)signal_number;
  unlink(socket_path);
  _exit(0);
}

static int listen_at(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  if (bind(fd, (struct sockaddr*)&address, sizeof address) < 0) fail(path);
  socket_path = path;
  atexit(remove_socket);
  if (listen(fd, 2) < 0) fail("listen");
  return fd;
}

static int accept_peer(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) fail("accept");
  return fd;
}

// Sends what is held, as far as there is room. False when the far side is gone.
static bool drain(struct direction* way) {
  while (way->start < way->end) {
    ssize_t sent = send(way->to, way->buffer + way->start, way->end - way->start, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return true;
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    way->start += sent;
  }
  return true;
}

// One recv, and its bytes straight on. False when either side is gone.
static bool pass(struct direction* way) {
  ssize_t got = recv(way->from, way->buffer, BUFFER_BYTES, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  way->start = 0;
  way->end = got;
  return drain(way);
}

static bool held(const struct direction* way) { return way->start < way->end; }

// A socket is polled for input while nothing read from it waits, and for room while something does.
static short interest(const struct direction* out, const struct direction* in) {
  return (held(out) ? 0 : POLLIN) | (held(in) ? POLLOUT : 0);
}

static void copy_until_closed(int a, int b) {
  struct direction *a_to_b = &directions[0], *b_to_a = &directions[1];
  a_to_b->from = b_to_a->to = a;
  a_to_b->to = b_to_a->from = b;
  for (;;) {
    struct pollfd ends[2] = {{.fd = a, .events = interest(a_to_b, b_to_a)},
                             {.fd = b, .events = interest(b_to_a, a_to_b)}};
    if (poll(ends, 2, -1) < 0 && errno != EINTR) fail("poll");
    if ((ends[0].revents | ends[1].revents) & POLLOUT) {
      if (!drain(a_to_b) || !drain(b_to_a)) return;
    }
    if ((ends[0].revents & ~POLLOUT) && !held(a_to_b) && !pass(a_to_b)) return;
    if ((ends[1].revents & ~POLLOUT) && !held(b_to_a) && !pass(b_to_a)) return;
  }
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: copy SOCKET\n");
    return 2;
  }
  struct sigaction on_stop = {.sa_handler = stop};
  sigaction(SIGTERM, &on_stop, NULL);
  sigaction(SIGINT, &on_stop, NULL);
  int listener = listen_at(argv[1]);
  // Whoever started it waits for this line: the socket takes connections now.
  puts("ready");
  fflush(stdout);
  int a = accept_peer(listener);
  int b = accept_peer(listener);
  close(listener);
  copy_until_closed(a, b);
  return 0;
}

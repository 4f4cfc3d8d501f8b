// How many bytes a second does TCP bring to the other end?
//
//   pour to ADDRESS PORT WARMUP SECONDS    sends as fast as it may, prints what arrived as JSON
//   pour sink PORT                         takes what comes from anybody, until it is killed
//   pour fill ADDRESS PORT BYTES           sends so much as UDP, to nobody who listens: for a VM
//                                          that does not read, so that it has something to read
//
// What arrived is what the other kernel acknowledged (tcpi_bytes_acked, RFC 4898), so any sink
// serves, a guest's `nc` as well, and what lies in buffers is not counted. A far end that takes
// nothing is an answer, not a failure: it is 0 bytes when it does not even take the connection.
// Times are seconds of the monotonic clock.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 128 * 1024, MOST_SOURCES = 64, DATAGRAM_BYTES = 1400 };

static char chunk[CHUNK_BYTES];

static void fail(const char* what) {
  fprintf(stderr, "pour: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct tcp_info info_of(int fd) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) fail("TCP_INFO");
  return info;
}

// Sends until `end`. A connection that is not there yet is waited for by the same poll.
static void send_until(int fd, double end) {
  for (double left; (left = end - now()) > 0;) {
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    int ready = poll(&room, 1, (int)(left * 1000) + 1);
    if (ready < 0 && errno != EINTR) fail("poll");
    if (ready <= 0) continue;
    ssize_t sent = send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) fail("send");
  }
}

static struct sockaddr_in address_of(const char* address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  errno = EINVAL;
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) fail(address);
  return to;
}

static int pour_to(const char* address, int port, double warmup, double seconds) {
  struct sockaddr_in to = address_of(address, port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  if (connect(fd, (struct sockaddr*)&to, sizeof to) < 0 && errno != EINPROGRESS) fail(address);
  double begin = now() + warmup;
  send_until(fd, begin);
  struct tcp_info before = info_of(fd);
  begin = now();
  send_until(fd, begin + seconds);
  struct tcp_info after = info_of(fd);
  printf("{\"bytes\":%llu,\"seconds\":%.6f,\"retransmitted\":%u}\n",
         (unsigned long long)(after.tcpi_bytes_acked - before.tcpi_bytes_acked), now() - begin,
         after.tcpi_total_retrans - before.tcpi_total_retrans);
  // What still lies in the buffers is of no use, and would go on after the answer.
  struct linger reset = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
  return 0;
}

static int fill(const char* address, int port, long bytes) {
  struct sockaddr_in to = address_of(address, port);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  // Not connected: an ICMP error would end it.
  for (long sent = 0; sent < bytes; sent += DATAGRAM_BYTES) {
    ssize_t taken = sendto(fd, chunk, DATAGRAM_BYTES, 0, (struct sockaddr*)&to, sizeof to);
    if (taken < 0 && errno != ENOBUFS) fail("sendto");
  }
  return 0;
}

// Takes what is there without copying it. False when the source is gone.
static bool swallow(int fd) {
  ssize_t got = recv(fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static _Noreturn void sink(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct pollfd ends[1 + MOST_SOURCES];
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr*)&at, sizeof at) < 0 ||
      listen(listener, MOST_SOURCES) < 0)
    fail("listen");
  puts("ready");
  fflush(stdout);
  nfds_t count = 1;
  for (;;) {
    ends[0] = (struct pollfd){.fd = count <= MOST_SOURCES ? listener : -1, .events = POLLIN};
    if (poll(ends, count, -1) < 0 && errno != EINTR) fail("poll");
    nfds_t known = count;
    if (ends[0].revents) {
      int source = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
      if (source >= 0) ends[count++] = (struct pollfd){.fd = source, .events = POLLIN};
    }
    // From behind, so that what takes the place of one that is gone has been looked at.
    for (nfds_t i = known - 1; i > 0; i--) {
      if (ends[i].revents == 0 || swallow(ends[i].fd)) continue;
      close(ends[i].fd);
      ends[i] = ends[--count];
    }
  }
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "sink") == 0) sink(atoi(argv[2]));
  if (argc == 6 && strcmp(argv[1], "to") == 0)
    return pour_to(argv[2], atoi(argv[3]), atof(argv[4]), atof(argv[5]));
  if (argc == 5 && strcmp(argv[1], "fill") == 0) return fill(argv[2], atoi(argv[3]), atol(argv[4]));
  fprintf(stderr,
          "usage: pour to ADDRESS PORT WARMUP SECONDS | sink PORT | fill ADDRESS PORT BYTES\n");
  return 2;
}

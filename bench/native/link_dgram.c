// A port of a server that takes datagrams: a Unix datagram socket, bound to a path of its own and
// connected to the server's, a datagram a frame, as vfkit and krunkit do it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "link_datagrams.h"
#include "loadgen.h"

const char* const link_address_kind = "SOCKET";
const int link_settle_ms = 300;

static struct sockaddr_un address_of(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("%s: too long for a socket's path", path);
  strcpy(address.sun_path, path);
  return address;
}

void link_open(struct link* link, const char* path) {
  static int opened;
  char own[200];
  snprintf(own, sizeof own, "%s.%d.%d", path, getpid(), opened++);
  struct sockaddr_un here = address_of(own);
  struct sockaddr_un there = address_of(path);
  link->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (link->fd < 0) fail("socket: %s", strerror(errno));
  if (bind(link->fd, (struct sockaddr*)&here, sizeof here) < 0)
    fail("%s: %s", own, strerror(errno));
  if (connect(link->fd, (struct sockaddr*)&there, sizeof there) < 0)
    fail("%s: %s", path, strerror(errno));
  if (send(link->fd, "VFKT", 4, MSG_NOSIGNAL) != 4) fail("%s: %s", path, strerror(errno));
  // No two VMs start in the same moment: the next one meets a fresh socket.
  usleep(20 * 1000);
  datagrams_open(link);
}

size_t link_send_some(struct link* link, const uint8_t* run, size_t bytes) {
  size_t at = 0;
  while (at < bytes) {
    uint32_t length = frame_length(run + at);
    ssize_t sent = send(link->fd, run + at + LENGTH_BYTES, length, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent < 0) fail("send: %s", strerror(errno));
    at += LENGTH_BYTES + length;
  }
  return at;
}

// A port of a server that speaks QEMU's stream framing: a Unix stream socket that carries each
// frame behind its 32-bit big-endian length. Read as QEMU reads it: one recv of up to 69,632 bytes,
// frames cut anywhere, the beginning of a cut one kept for the next read.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "loadgen.h"

enum { READ_BYTES = 69632, LARGEST_FRAME = 65536 };

const char* const link_address_kind = "SOCKET";
const int link_settle_ms = 0;

void link_open(struct link* link, const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("%s: too long for a socket's path", path);
  strcpy(address.sun_path, path);
  link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (link->fd < 0) fail("socket: %s", strerror(errno));
  if (connect(link->fd, (struct sockaddr*)&address, sizeof address) < 0)
    fail("%s: %s", path, strerror(errno));
  struct timeval limit = {.tv_sec = RECEIVE_SECONDS};
  if (setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
    fail("setsockopt: %s", strerror(errno));
  link->held = malloc(LENGTH_BYTES + LARGEST_FRAME + READ_BYTES);
  if (!link->held) fail("out of memory");
  link->bytes = 0;
}

size_t link_send_some(struct link* link, const uint8_t* run, size_t bytes) {
  ssize_t sent = send(link->fd, run, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return sent;
  if (errno != EAGAIN && errno != EINTR) fail("send: %s", strerror(errno));
  return 0;
}

// Hands out the whole frames and moves what is left of a cut one to the front.
static void deliver(struct link* link, frame_sink sink, void* context) {
  size_t at = 0;
  while (link->bytes - at >= LENGTH_BYTES) {
    uint32_t length = frame_length(link->held + at);
    if (length == 0 || length > LARGEST_FRAME) fail("broken framing: a length of %u", length);
    if (link->bytes - at < LENGTH_BYTES + (size_t)length) break;
    sink(context, link->held + at + LENGTH_BYTES, length);
    at += LENGTH_BYTES + length;
  }
  link->bytes -= at;
  memmove(link->held, link->held + at, link->bytes);
}

bool link_receive(struct link* link, bool wait, frame_sink sink, void* context) {
  ssize_t got = recv(link->fd, link->held + link->bytes, READ_BYTES, wait ? 0 : MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) fail("recv: %s", strerror(errno));
  if (got == 0) fail("the server closed a port");
  link->bytes += got;
  deliver(link, sink, context);
  return true;
}

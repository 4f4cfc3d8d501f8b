// A port of vde_switch, by libvdeplug: a Unix datagram socket, a datagram a frame. A frame is sent
// with vde_send, as QEMU does it.
#include <errno.h>
#include <fcntl.h>
#include <libvdeplug.h>
#include <string.h>
#include <sys/socket.h>

#include "link_datagrams.h"
#include "loadgen.h"

const char* const link_address_kind = "DIRECTORY";
const int link_settle_ms = 0;

void link_open(struct link* link, const char* directory) {
  char url[512];
  if (strlen(directory) > sizeof url - sizeof "vde://") fail("%s: too long", directory);
  strcpy(stpcpy(url, "vde://"), directory);
  VDECONN* connection = vde_open(url, "vmbridge bench", NULL);
  if (!connection) fail("%s: %s", url, strerror(errno));
  link->handle = connection;
  link->fd = vde_datafd(connection);
  // vde_send and vde_recv take flags and pass them over, so it is the descriptor that must not
  // block.
  if (fcntl(link->fd, F_SETFL, O_NONBLOCK) < 0) fail("fcntl: %s", strerror(errno));
  datagrams_open(link);
}

size_t link_send_some(struct link* link, const uint8_t* run, size_t bytes) {
  size_t at = 0;
  while (at < bytes) {
    uint32_t length = frame_length(run + at);
    ssize_t sent = vde_send(link->handle, run + at + LENGTH_BYTES, length, 0);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent < 0) fail("vde_send: %s", strerror(errno));
    at += LENGTH_BYTES + length;
  }
  return at;
}

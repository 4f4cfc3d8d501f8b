// A port of vde_switch, by libvdeplug: a Unix datagram socket, a datagram a frame. A frame is sent
// with vde_send, as QEMU does it. Frames are received from vde_datafd with recvmmsg, as many as
// wait: this costs the load generator less than QEMU's vde_recv a frame, so it is vde_switch that
// sets the pace.
#include <errno.h>
#include <fcntl.h>
#include <libvdeplug.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "loadgen.h"

enum { SLOT_BYTES = 9216 + 18, SLOTS = 32 };

const char* const link_address_kind = "DIRECTORY";

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
  link->held = malloc((size_t)SLOT_BYTES * SLOTS);
  if (!link->held) fail("out of memory");
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

static bool wait_for_input(int fd) {
  struct pollfd end = {.fd = fd, .events = POLLIN};
  return poll(&end, 1, RECEIVE_SECONDS * 1000) > 0;
}

bool link_receive(struct link* link, bool wait, frame_sink sink, void* context) {
  if (wait && !wait_for_input(link->fd)) return false;
  struct mmsghdr messages[SLOTS] = {0};
  struct iovec slots[SLOTS];
  for (int i = 0; i < SLOTS; i++) {
    slots[i] = (struct iovec){.iov_base = link->held + i * SLOT_BYTES, .iov_len = SLOT_BYTES};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &slots[i], .msg_iovlen = 1};
  }
  int got = recvmmsg(link->fd, messages, SLOTS, MSG_DONTWAIT, NULL);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) fail("recvmmsg: %s", strerror(errno));
  for (int i = 0; i < got; i++) sink(context, slots[i].iov_base, messages[i].msg_len);
  return true;
}

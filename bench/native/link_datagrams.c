// How links of datagrams receive: with recvmmsg, as many as wait. This costs the load generator
// less than a call a frame, so it is the server that sets the pace.
#include "link_datagrams.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SLOT_BYTES = 9216 + 18, SLOTS = 32 };

void datagrams_open(struct link* link) {
  link->held = malloc((size_t)SLOT_BYTES * SLOTS);
  if (!link->held) fail("out of memory");
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

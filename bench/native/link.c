// What all kinds of link share.
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "loadgen.h"

enum { ROOM_MS = 3000 };

uint32_t frame_length(const uint8_t* run) {
  uint32_t length;
  memcpy(&length, run, sizeof length);
  return __builtin_bswap32(length);
}

void link_send(struct link* link, const uint8_t* run, size_t bytes) {
  for (size_t sent = 0;;) {
    sent += link_send_some(link, run + sent, bytes - sent);
    if (sent == bytes) return;
    struct pollfd end = {.fd = link->fd, .events = POLLOUT};
    int ready = poll(&end, 1, ROOM_MS);
    if (ready == 0) fail("the server took nothing for %d ms", ROOM_MS);
    if (ready < 0 && errno != EINTR) fail("poll: %s", strerror(errno));
  }
}

// The ports: each a host with a unicast MAC of its own, which makes itself known before anything is
// measured. A port announces itself by one broadcast and the next waits its turn until all others
// have seen it; so every MAC has been learnt and every port is served when the load begins. The
// last port begins: servers accept in order, so when the others hear it, all are plugged in. An
// announcement that is not seen (a server may accept late, or drop) is made again.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "loadgen.h"

enum { TRY_MS = 100, TRIES = 50 };

struct hearing {
  int announcer;
  bool heard;
};

static void listen_for(void* context, const uint8_t* frame, size_t length) {
  struct hearing* hearing = context;
  struct frame_view view = frame_read(frame, length);
  if (view.kind == FRAME_ANNOUNCE && view.from == hearing->announcer) hearing->heard = true;
}

static void announce(struct link* link, int port) {
  uint8_t run[LENGTH_BYTES + ANNOUNCE_BYTES];
  put_u32(run, ANNOUNCE_BYTES);
  frame_announce(run + LENGTH_BYTES, port);
  link_send(link, run, sizeof run);
}

// Reads what is waiting on each port that polls as readable, and takes those that heard off the
// list.
static int read_ready(struct stations* stations, struct pollfd* ends, int announcer) {
  int heard = 0;
  for (int port = 0; port < stations->count; port++) {
    if (!ends[port].revents) continue;
    struct hearing hearing = {.announcer = announcer};
    link_receive(&stations->links[port], false, listen_for, &hearing);
    if (!hearing.heard) continue;
    ends[port].fd = -1;
    heard++;
  }
  return heard;
}

static void make_known(struct stations* stations, int announcer) {
  struct pollfd ends[MAX_PORTS];
  for (int port = 0; port < stations->count; port++) {
    ends[port] = (struct pollfd){.fd = stations->links[port].fd, .events = POLLIN};
  }
  ends[announcer].fd = -1;
  int missing = stations->count - 1;
  for (int try = 0; try < TRIES; try++) {
    announce(&stations->links[announcer], announcer);
    uint64_t deadline = now_ns() + TRY_MS * 1000000ull;
    while (missing > 0 && now_ns() < deadline) {
      if (poll(ends, stations->count, TRY_MS) < 0 && errno != EINTR) fail("poll");
      missing -= read_ready(stations, ends, announcer);
    }
    if (missing == 0) return;
  }
  fail("port %d announced itself %d times, and %d ports never saw it", announcer, TRIES, missing);
}

void stations_open(struct stations* stations, int count, const char* address) {
  stations->count = count;
  for (int port = 0; port < count; port++) link_open(&stations->links[port], address);
  usleep(link_settle_ms * 1000);
  for (int port = count - 1; port >= 0; port--) make_known(stations, port);
}

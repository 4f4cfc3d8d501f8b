// The round trip: port 0 sends a frame, port 1 answers it, port 0 has the answer. So a round is two
// frames, each through the server. Both ends block in their read, on threads of their own, so a
// round holds four wake-ups: the server, port 1, the server, port 0. Between two VMs it is the
// same; most of the time goes there, and the servers that are compared pay it alike.
//
// A round that gets no answer within RECEIVE_SECONDS is lost and the next begins; after MOST_LOST
// of them the measurement fails.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen.h"

enum { PING = 0, PONG = 1, MOST_LOST = 5 };

struct end {
  struct link* link;
  int port;
  uint8_t run[LENGTH_BYTES + MAX_DATA_BYTES];
  size_t run_bytes;
  uint64_t heard;  // the latest sequence number that arrived
};

static const uint64_t nothing = UINT64_MAX;

// The answering end, and the way to end it.
struct echo {
  struct end end;
  atomic_bool stop;
};

static void end_open(struct end* end, struct stations* stations, int port, size_t frame_bytes) {
  end->link = &stations->links[port];
  end->port = port;
  end->run_bytes = LENGTH_BYTES + frame_bytes;
  put_u32(end->run, frame_bytes);
  frame_data(end->run + LENGTH_BYTES, frame_bytes, port, port == PING ? PONG : PING);
}

static void hear(void* context, const uint8_t* frame, size_t length) {
  struct end* end = context;
  struct frame_view view = frame_read(frame, length);
  if (view.kind != FRAME_DATA || view.to != end->port) return;
  if (length != end->run_bytes - LENGTH_BYTES) fail("a frame came back with %zu bytes", length);
  end->heard = view.sequence;
}

static void say(struct end* end, uint64_t sequence) {
  frame_stamp(end->run + LENGTH_BYTES, sequence);
  link_send(end->link, end->run, end->run_bytes);
}

static void* answer(void* context) {
  struct echo* echo = context;
  while (!atomic_load_explicit(&echo->stop, memory_order_relaxed)) {
    echo->end.heard = nothing;
    link_receive(echo->end.link, true, hear, &echo->end);
    if (echo->end.heard != nothing) say(&echo->end, echo->end.heard);
  }
  return NULL;
}

// False when no answer came. Late answers of rounds before are passed over.
static bool one_round(struct end* end, uint64_t sequence) {
  end->heard = nothing;
  say(end, sequence);
  while (end->heard != sequence) {
    if (!link_receive(end->link, true, hear, end)) return false;
  }
  return true;
}

static int ascending(const void* a, const void* b) {
  uint64_t left = *(const uint64_t*)a, right = *(const uint64_t*)b;
  return (left > right) - (left < right);
}

// Plays the rounds and notes their times. Returns how many were answered.
static int play(struct end* end, const struct latency_plan* plan, uint64_t* times, int* lost) {
  int answered = 0;
  uint64_t deadline = now_ns() + (uint64_t)(plan->seconds * 1e9);
  for (int i = 0; i < plan->rounds; i++) {
    uint64_t sent = now_ns();
    if (sent > deadline) break;
    if (one_round(end, plan->warmup_rounds + i)) {
      times[answered++] = now_ns() - sent;
    } else if (++*lost > MOST_LOST) {
      fail("%d rounds got no answer", *lost);
    }
  }
  return answered;
}

static void warm_up(struct end* end, int rounds) {
  int lost = 0;
  for (int i = 0; i < rounds; i++) {
    if (!one_round(end, i) && ++lost > MOST_LOST) fail("%d rounds got no answer", lost);
  }
}

static void summarize(uint64_t* times, struct latency_result* result) {
  if (result->rounds == 0) fail("no round was answered");
  qsort(times, result->rounds, sizeof *times, ascending);
  result->min_us = times[0] / 1e3;
  result->p50_us = times[result->rounds / 2] / 1e3;
  result->p99_us = times[(int)(result->rounds * 0.99)] / 1e3;
}

void latency(struct stations* stations, const struct latency_plan* plan,
             struct latency_result* result) {
  static struct end ping;
  static struct echo pong;
  uint64_t* times = malloc(plan->rounds * sizeof *times);
  if (!times) fail("out of memory");
  end_open(&ping, stations, PING, plan->frame_bytes);
  end_open(&pong.end, stations, PONG, plan->frame_bytes);
  pthread_t answering;
  int error = pthread_create(&answering, NULL, answer, &pong);
  if (error) fail("pthread_create: %s", strerror(error));
  warm_up(&ping, plan->warmup_rounds);
  struct server_cpu cpu = server_cpu(plan->server);
  uint64_t start = now_ns();
  result->rounds = play(&ping, plan, times, &result->lost);
  result->seconds = (now_ns() - start) / 1e9;
  struct server_cpu cpu_after = server_cpu(plan->server);
  result->cpu_known = cpu.known && cpu_after.known;
  result->server_cpu_ns = cpu_after.ns - cpu.ns;
  // One more frame gets the answering end out of its read, to see that it is over.
  atomic_store(&pong.stop, true);
  say(&ping, nothing - 1);
  pthread_join(answering, NULL);
  summarize(times, result);
  free(times);
}

// Frames a second, under a closed window.
//
// Flow k goes from port 2k to port 2k+1. A flow has at most `window` frames on their way, as TCP
// has: a frame that arrives makes room for the next. So nothing is measured that a queue merely
// swallowed, and the server's own pace decides.
//
// One thread plays all the ports, and never sleeps: it writes where a window is open, reads where
// frames are due, and begins again. The other core is the server's. Two threads that sleep while
// they have nothing to do, one sending and one receiving, gave half of the rate with bursts of 1514
// bytes on a virtual machine with 2 cores: the server was idle for half of the time, and what was
// measured was how long the kernel takes to wake a sleeping core. README.md has the figures. When
// there is nothing to do the thread yields, for a server that must share its core.
//
// No call blocks, for a server that must first get rid of frames before it takes more would wait
// for us for ever: a run that was taken in part is kept, and its rest goes first.
//
// Lost frames do not hang it. A gap in the sequence counts as lost and lets the window on; when all
// of a window is lost, nothing comes for STALL_MS, and the window is taken as free (`stalls`).
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loadgen.h"

enum {
  STALL_MS = 200,
  STUCK_MS = 3000,
  DRAIN_MS = 300,
  // Writes a flow between two looks at what arrived. With 1, 4, 16, 64 of them the ceiling moved
  // 443, 595, 721, 677 kpps of 64 bytes: fewer and the time goes into empty reads, more and
  // arrivals wait.
  TURN_WRITES = 16,
  // Idle ports are looked at this seldom: nothing comes there but what a server floods, and a poll
  // of 64 ports costs as much as several frames.
  IDLE_TURNS = 256,
};

struct flow {
  int from, to;
  uint8_t* run;       // a burst of framed frames
  size_t run_bytes;   // of all of it
  size_t run_left;    // of a run that was taken in part
  uint64_t sent;      // frames stamped and written, wholly or in part
  uint64_t forgiven;  // frames taken as arrived after a stall
  uint64_t next;      // the sequence number expected
  uint64_t gaps, late;
};

struct load {
  struct stations* stations;
  const struct throughput_plan* plan;
  struct flow flows[MAX_FLOWS];
  struct pollfd idle[MAX_PORTS];  // the ports where nothing is due: -1 where a flow ends
  int turns;
  uint64_t moved_at;  // when a frame was last written or arrived
  uint64_t frames, wrong, stray, stalls;
};

struct arrival {
  struct load* load;
  int port;
};

// ---- sending

static bool window_open(const struct throughput_plan* plan, const struct flow* flow) {
  uint64_t settled = flow->next > flow->forgiven ? flow->next : flow->forgiven;
  return flow->sent - settled + plan->burst <= (uint64_t)plan->window;
}

static void begin_run(const struct throughput_plan* plan, struct flow* flow) {
  size_t stride = LENGTH_BYTES + plan->frame_bytes;
  for (int i = 0; i < plan->burst; i++) {
    frame_stamp(flow->run + i * stride + LENGTH_BYTES, flow->sent + i);
  }
  flow->sent += plan->burst;
  flow->run_left = flow->run_bytes;
}

// One write. False when the window is closed or the server takes no more.
static bool write_once(struct load* load, struct flow* flow) {
  if (flow->run_left == 0) {
    if (!window_open(load->plan, flow)) return false;
    begin_run(load->plan, flow);
  }
  const uint8_t* rest = flow->run + flow->run_bytes - flow->run_left;
  flow->run_left -= link_send_some(&load->stations->links[flow->from], rest, flow->run_left);
  return flow->run_left == 0;
}

static bool write_turn(struct load* load) {
  bool wrote = false;
  for (int k = 0; k < load->plan->flows; k++) {
    for (int i = 0; i < TURN_WRITES && write_once(load, &load->flows[k]); i++) wrote = true;
  }
  return wrote;
}

// ---- receiving

// False for a number that was never sent.
static bool take_in_turn(struct flow* flow, uint64_t sequence) {
  if (sequence >= flow->sent) return false;
  if (sequence >= flow->next) {
    flow->gaps += sequence - flow->next;
    flow->next = sequence + 1;
  } else {
    // Counted as lost when the gap showed itself, and here it is. A frame that comes twice counts
    // as well.
    flow->late++;
    if (flow->gaps > 0) flow->gaps--;
  }
  return true;
}

static void arrived(void* context, const uint8_t* frame, size_t length) {
  struct arrival* arrival = context;
  struct load* load = arrival->load;
  struct frame_view view = frame_read(frame, length);
  if (view.kind != FRAME_DATA) return;
  struct flow* flow = &load->flows[arrival->port / 2];
  if (arrival->port != flow->to || view.to != flow->to) {
    load->stray++;
  } else if (view.from == flow->from && length == load->plan->frame_bytes &&
             take_in_turn(flow, view.sequence)) {
    load->frames++;
  } else {
    load->wrong++;
  }
}

static bool read_port(struct load* load, int port) {
  struct arrival arrival = {.load = load, .port = port};
  return link_receive(&load->stations->links[port], false, arrived, &arrival);
}

static bool read_turn(struct load* load) {
  bool read = false;
  for (int k = 0; k < load->plan->flows; k++) read |= read_port(load, load->flows[k].to);
  return read;
}

static void drain_idle(struct load* load) {
  int ports = load->stations->count;
  if (poll(load->idle, ports, 0) <= 0) return;
  for (int port = 0; port < ports; port++) {
    if (load->idle[port].revents) read_port(load, port);
  }
}

// ---- turns

// After a silence: what has not come is lost, unless the server has not even taken all of it.
static void give_up_on(struct load* load, struct flow* flow, uint64_t silence_ms) {
  if (flow->run_left > 0) {
    if (silence_ms < STUCK_MS) return;
    fail("the server took nothing from port %d for %d ms", flow->from, STUCK_MS);
  }
  if (flow->forgiven == flow->sent) return;
  flow->forgiven = flow->sent;
  load->stalls++;
}

static void note_silence(struct load* load, uint64_t now) {
  uint64_t silence_ms = (now - load->moved_at) / 1000000;
  if (silence_ms < STALL_MS) return;
  for (int k = 0; k < load->plan->flows; k++) give_up_on(load, &load->flows[k], silence_ms);
}

// Plays until the time is there, and tells when it stopped.
static uint64_t play_until(struct load* load, uint64_t end) {
  for (;;) {
    bool moved = write_turn(load) | read_turn(load);
    if (++load->turns % IDLE_TURNS == 0) drain_idle(load);
    uint64_t now = now_ns();
    if (now >= end) return now;
    if (moved) {
      load->moved_at = now;
      continue;
    }
    note_silence(load, now);
    sched_yield();
  }
}

static bool all_arrived(const struct load* load) {
  for (int k = 0; k < load->plan->flows; k++) {
    if (load->flows[k].next < load->flows[k].sent) return false;
  }
  return true;
}

// Finishes what was begun, and takes what is still on its way.
static void finish(struct load* load) {
  uint64_t moved_at = now_ns();
  while (!all_arrived(load) && now_ns() - moved_at < DRAIN_MS * 1000000ull) {
    bool moved = read_turn(load);
    for (int k = 0; k < load->plan->flows; k++) {
      if (load->flows[k].run_left > 0) moved |= write_once(load, &load->flows[k]);
    }
    if (moved) moved_at = now_ns();
  }
}

// ---- the measurement

static void prepare_flow(const struct throughput_plan* plan, struct flow* flow, int k) {
  size_t stride = LENGTH_BYTES + plan->frame_bytes;
  flow->from = 2 * k;
  flow->to = 2 * k + 1;
  flow->run_bytes = plan->burst * stride;
  flow->run = malloc(flow->run_bytes);
  if (!flow->run) fail("out of memory");
  for (int i = 0; i < plan->burst; i++) {
    put_u32(flow->run + i * stride, plan->frame_bytes);
    frame_data(flow->run + i * stride + LENGTH_BYTES, plan->frame_bytes, flow->from, flow->to);
  }
}

static void prepare(struct load* load) {
  for (int port = 0; port < load->stations->count; port++) {
    load->idle[port] = (struct pollfd){.fd = load->stations->links[port].fd, .events = POLLIN};
  }
  for (int k = 0; k < MAX_FLOWS; k++) load->flows[k].to = -1;
  for (int k = 0; k < load->plan->flows; k++) {
    prepare_flow(load->plan, &load->flows[k], k);
    load->idle[load->flows[k].to].fd = -1;
  }
  load->moved_at = now_ns();
}

static uint64_t own_cpu_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

// Lets it run warm, then takes the difference of two looks at the counters.
static void measure(struct load* load, struct throughput_result* result) {
  const struct throughput_plan* plan = load->plan;
  play_until(load, now_ns() + (uint64_t)(plan->warmup_seconds * 1e9));
  struct server_cpu cpu = server_cpu(plan->server);
  uint64_t own = own_cpu_ns(), frames = load->frames, start = now_ns();
  uint64_t end = play_until(load, start + (uint64_t)(plan->seconds * 1e9));
  result->frames = load->frames - frames;
  result->own_cpu_ns = own_cpu_ns() - own;
  struct server_cpu cpu_after = server_cpu(plan->server);
  result->seconds = (end - start) / 1e9;
  result->cpu_known = cpu.known && cpu_after.known;
  result->server_cpu_ns = cpu_after.ns - cpu.ns;
}

void throughput(struct stations* stations, const struct throughput_plan* plan,
                struct throughput_result* result) {
  static struct load load;
  load.stations = stations;
  load.plan = plan;
  prepare(&load);
  measure(&load, result);
  finish(&load);
  for (int k = 0; k < plan->flows; k++) {
    struct flow* flow = &load.flows[k];
    result->lost += flow->gaps + (flow->sent - flow->next);
    result->reordered += flow->late;
    free(flow->run);
  }
  result->wrong = load.wrong;
  result->stray = load.stray;
  result->stalls = load.stalls;
}

// What the parts of the load generator share: failing, time, the frames, the links, the stations,
// the two measurements and the reading of the server's books. loadgen.c tells how they fit
// together.
#ifndef VMBRIDGE_BENCH_LOADGEN_H
#define VMBRIDGE_BENCH_LOADGEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_PORTS 128
#define MAX_FLOWS (MAX_PORTS / 2)
#define LENGTH_BYTES 4  // the big-endian length in front of each frame of a run

// Ends the program with status 1 and a line on stderr. Nothing is measured after a failure.
_Noreturn void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// CLOCK_MONOTONIC in nanoseconds.
uint64_t now_ns(void);

// ---- frame.c: the bytes on the wire

#define MAC_BYTES 6
#define ANNOUNCE_BYTES 42
#define MIN_DATA_BYTES 64
#define MAX_DATA_BYTES 9018

struct frame_view {
  enum { FRAME_FOREIGN, FRAME_ANNOUNCE, FRAME_DATA } kind;
  int from;           // the port that made it
  int to;             // the port that it is for; -1 for an announcement
  uint64_t sequence;  // of data
};

// A gratuitous ARP of the port's, ANNOUNCE_BYTES long.
void frame_announce(uint8_t* frame, int port);
// A TCP segment in IPv4 from one port to another, length bytes with its Ethernet header.
void frame_data(uint8_t* frame, size_t length, int from, int to);
void frame_stamp(uint8_t* frame, uint64_t sequence);
struct frame_view frame_read(const uint8_t* frame, size_t length);
void put_u32(uint8_t* at, uint32_t value);

// ---- link.c: what all kinds of link share

struct link;
// The length in front of a frame of a run.
uint32_t frame_length(const uint8_t* run);
// Sends all of a run and waits for room, up to a few seconds; then it fails the program.
void link_send(struct link* link, const uint8_t* run, size_t bytes);

// ---- link_stream.c, link_vde.c or link_dgram.c: one port's way into the server

// Called with each whole frame that a receive brought.
typedef void (*frame_sink)(void* context, const uint8_t* frame, size_t length);

struct link {
  int fd;         // to poll
  void* handle;   // of link_vde.c
  uint8_t* held;  // what a receive brought in
  size_t bytes;   // of held that still wait for the rest of their frame
};

// What the executable's --connect takes, for its usage line.
extern const char* const link_address_kind;
// How long the server may take to be as quick with a new link as with an old one.
extern const int link_settle_ms;

void link_open(struct link* link, const char* address);
// Sends what the server takes of a framed run, in one write where the link carries runs, else in a
// write a frame. Does not wait; tells how many bytes went.
size_t link_send_some(struct link* link, const uint8_t* run, size_t bytes);
// One read, and its whole frames to the sink. With wait it blocks for at most RECEIVE_SECONDS.
// False when there was nothing; a link that the server closed fails the program.
bool link_receive(struct link* link, bool wait, frame_sink sink, void* context);
#define RECEIVE_SECONDS 1

// ---- station.c: the ports, each a host with a MAC that the switch has learnt

struct stations {
  int count;
  struct link links[MAX_PORTS];
};

// Connects all ports and lets each announce itself until every other one has seen it.
void stations_open(struct stations* stations, int count, const char* address);

// ---- server.c: the server's books, out of /proc

struct server_cpu {
  bool known;
  uint64_t ns;  // user and system, of all tasks
};
struct server_memory {
  bool known;
  long rss_kib, peak_kib;
};

struct server_cpu server_cpu(pid_t pid);
struct server_memory server_memory(pid_t pid);

// ---- throughput.c and latency.c

struct throughput_plan {
  int flows, window, burst;
  size_t frame_bytes;
  double warmup_seconds, seconds;
  pid_t server;  // 0: not known
};
struct throughput_result {
  uint64_t frames, lost, reordered, wrong, stray, stalls;
  double seconds;
  bool cpu_known;
  uint64_t server_cpu_ns, own_cpu_ns;
};

void throughput(struct stations* stations, const struct throughput_plan* plan,
                struct throughput_result* result);

struct latency_plan {
  size_t frame_bytes;
  int warmup_rounds, rounds;
  double seconds;  // no more than this, whatever the rounds
  pid_t server;
};
struct latency_result {
  int rounds, lost;
  double seconds, p50_us, p99_us, min_us;
  bool cpu_known;
  uint64_t server_cpu_ns;
};

void latency(struct stations* stations, const struct latency_plan* plan,
             struct latency_result* result);

#endif

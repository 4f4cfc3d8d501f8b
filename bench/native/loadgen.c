// The load generator: plays the virtual machines of a switch and measures how it serves them.
//
//   loadgen throughput --connect ADDRESS [--ports N] [--flows F] [--size BYTES] [--window FRAMES]
//                      [--write one|burst:K] [--warmup S] [--seconds S] [--pid SERVER]
//   loadgen latency    --connect ADDRESS [--ports N] [--size BYTES] [--warmup ROUNDS] [--rounds N]
//                      [--seconds S] [--pid SERVER]
//
// It plugs N ports into the server, makes each known (station.c), and plays either F flows under a
// closed window (throughput.c) or one frame back and forth (latency.c). It prints one JSON object
// and exits 0; 1 when it could not measure, with the reason on stderr; 2 on a usage error. Frames
// that get lost do not fail it, they are printed.
//
// The same program is linked twice: over QEMU's stream framing (link_stream.c, ADDRESS is a socket)
// and over libvdeplug (link_vde.c, ADDRESS is vde_switch's directory).
//
// Sizes are bytes of Ethernet frame from the destination MAC to the end of the payload: neither the
// length in front of it nor a checksum behind it, which no VM sends. With --pid the server's CPU
// time and memory are read from /proc. Whatever happens, SIGALRM ends it.
#include "loadgen.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_SECONDS = 600, GRACE_SECONDS = 20 };

struct options {
  bool is_latency;
  const char* address;
  long ports, flows, size, window, burst, rounds, pid;
  double warmup, seconds;
};

static const char* program;

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "loadgen: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  // Other threads may still be at work: no exit handlers.
  _exit(1);
}

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void out_of_time(int signal_number) {
  (void)signal_number;
  static const char message[] = "loadgen: out of time\n";
  ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
  (void)ignored;
  _exit(1);
}

// ---- the command line

_Noreturn static void usage(void) {
  fprintf(
      stderr,
      "usage: %s throughput --connect %s [--ports N] [--flows F] [--size BYTES] [--window FRAMES]\n"
      "          [--write one|burst:K] [--warmup SECONDS] [--seconds SECONDS] [--pid SERVER]\n"
      "       %s latency --connect %s [--ports N] [--size BYTES] [--warmup ROUNDS] [--rounds N]\n"
      "          [--seconds SECONDS] [--pid SERVER]\n",
      program, link_address_kind, program, link_address_kind);
  exit(2);
}

static double number(const char* option, const char* text, double least, double most) {
  char* end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= least && value <= most)) {
    fprintf(stderr, "%s: %s: a number from %g to %g is wanted\n", option, text, least, most);
    usage();
  }
  return value;
}

static long burst_of(const char* text) {
  if (strcmp(text, "one") == 0) return 1;
  if (strncmp(text, "burst:", 6) != 0) usage();
  return number("--write", text + 6, 1, 1024);
}

static void read_option(struct options* options, int letter) {
  switch (letter) {
    case 'c':
      options->address = optarg;
      break;
    case 'p':
      options->ports = number("--ports", optarg, 2, MAX_PORTS);
      break;
    case 'f':
      options->flows = number("--flows", optarg, 1, MAX_FLOWS);
      break;
    case 's':
      options->size = number("--size", optarg, MIN_DATA_BYTES, MAX_DATA_BYTES);
      break;
    case 'w':
      options->window = number("--window", optarg, 1, 65536);
      break;
    case 'b':
      options->burst = burst_of(optarg);
      break;
    case 'u':
      options->warmup = number("--warmup", optarg, 0, 1000000);
      break;
    case 'd':
      options->seconds = number("--seconds", optarg, 0.01, LONGEST_SECONDS);
      break;
    case 'r':
      options->rounds = number("--rounds", optarg, 1, 10000000);
      break;
    case 'i':
      options->pid = number("--pid", optarg, 1, 1 << 30);
      break;
    default:
      usage();
  }
}

static struct options read_options(int argc, char** argv) {
  static const struct option names[] = {{"connect", required_argument, NULL, 'c'},
                                        {"ports", required_argument, NULL, 'p'},
                                        {"flows", required_argument, NULL, 'f'},
                                        {"size", required_argument, NULL, 's'},
                                        {"window", required_argument, NULL, 'w'},
                                        {"write", required_argument, NULL, 'b'},
                                        {"warmup", required_argument, NULL, 'u'},
                                        {"seconds", required_argument, NULL, 'd'},
                                        {"rounds", required_argument, NULL, 'r'},
                                        {"pid", required_argument, NULL, 'i'},
                                        {NULL, 0, NULL, 0}};
  program = argv[0];
  struct options options = {.ports = 2, .flows = 1, .size = 64, .window = 128, .burst = 1};
  options.rounds = 20000;
  options.warmup = -1;
  options.seconds = -1;
  if (argc < 2) usage();
  options.is_latency = strcmp(argv[1], "latency") == 0;
  if (!options.is_latency && strcmp(argv[1], "throughput") != 0) usage();
  optind = 2;
  for (int letter; (letter = getopt_long(argc, argv, "", names, NULL)) != -1;) {
    read_option(&options, letter);
  }
  if (optind != argc || !options.address) usage();
  if (2 * options.flows > options.ports) fail("a flow needs two ports of its own");
  if (options.burst > options.window) fail("a burst must fit into the window");
  if (options.warmup < 0) options.warmup = options.is_latency ? 1000 : 0.3;
  if (options.seconds < 0) options.seconds = options.is_latency ? 10 : 1;
  return options;
}

// ---- the report

static void print_cpu(bool known, uint64_t ns, uint64_t frames, double seconds) {
  if (!known || frames == 0) return;
  printf(",\"serverCpuNsPerFrame\":%.1f,\"serverBusy\":%.3f", (double)ns / frames,
         ns / 1e9 / seconds);
}

static void print_memory(pid_t pid) {
  struct server_memory memory = server_memory(pid);
  if (!memory.known) return;
  printf(",\"serverRssKiB\":%ld,\"serverPeakRssKiB\":%ld", memory.rss_kib, memory.peak_kib);
}

static void run_throughput(struct stations* stations, const struct options* options) {
  struct throughput_plan plan = {.flows = options->flows,
                                 .window = options->window,
                                 .burst = options->burst,
                                 .frame_bytes = options->size,
                                 .warmup_seconds = options->warmup,
                                 .seconds = options->seconds,
                                 .server = options->pid};
  struct throughput_result result = {0};
  throughput(stations, &plan, &result);
  printf(
      "{\"mode\":\"throughput\",\"ports\":%ld,\"flows\":%ld,\"size\":%ld,\"window\":%ld,"
      "\"burst\":%ld,\"frames\":%llu,\"seconds\":%.4f,\"kpps\":%.2f,\"gbps\":%.4f",
      options->ports, options->flows, options->size, options->window, options->burst,
      (unsigned long long)result.frames, result.seconds, result.frames / result.seconds / 1e3,
      result.frames * 8.0 * options->size / result.seconds / 1e9);
  printf(",\"lost\":%llu,\"reordered\":%llu,\"wrong\":%llu,\"stray\":%llu,\"stalls\":%llu",
         (unsigned long long)result.lost, (unsigned long long)result.reordered,
         (unsigned long long)result.wrong, (unsigned long long)result.stray,
         (unsigned long long)result.stalls);
  printf(",\"loadBusy\":%.3f", result.own_cpu_ns / 1e9 / result.seconds);
  print_cpu(result.cpu_known, result.server_cpu_ns, result.frames, result.seconds);
}

static void run_latency(struct stations* stations, const struct options* options) {
  struct latency_plan plan = {.frame_bytes = options->size,
                              .warmup_rounds = options->warmup,
                              .rounds = options->rounds,
                              .seconds = options->seconds,
                              .server = options->pid};
  struct latency_result result = {0};
  latency(stations, &plan, &result);
  printf(
      "{\"mode\":\"latency\",\"ports\":%ld,\"size\":%ld,\"rounds\":%d,\"frames\":%d,"
      "\"seconds\":%.4f,\"lost\":%d,\"p50Us\":%.2f,\"p99Us\":%.2f,\"minUs\":%.2f",
      options->ports, options->size, result.rounds, 2 * result.rounds, result.seconds, result.lost,
      result.p50_us, result.p99_us, result.min_us);
  print_cpu(result.cpu_known, result.server_cpu_ns, 2 * result.rounds, result.seconds);
}

int main(int argc, char** argv) {
  struct options options = read_options(argc, argv);
  static struct stations stations;
  signal(SIGALRM, out_of_time);
  double warmup = options.is_latency ? 0 : options.warmup;
  alarm((unsigned)(warmup + options.seconds) + GRACE_SECONDS);
  stations_open(&stations, options.ports, options.address);
  if (options.is_latency)
    run_latency(&stations, &options);
  else
    run_throughput(&stations, &options);
  // The ports are still plugged in: this is what the server needs for them.
  print_memory(options.pid);
  printf("}\n");
  return 0;
}

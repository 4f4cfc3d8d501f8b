#include "double.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>

namespace vmnet_double {

namespace {

constexpr const char* kNames[] = {
    "starts",       "stops",          "reads",          "emptyReads",   "writes",
    "packetsRead",  "packetsWritten", "largestRead",    "largestWrite", "events",
    "lateEvents",   "packetsDropped", "dhcpHeard",      "dhcpAnswered", "liveInterfaces",
    "liveNetworks", "liveQueues",     "liveXpcObjects",
};
static_assert(sizeof kNames / sizeof *kNames == kStatCount);

std::atomic<int64_t> stats[kStatCount];

}  // namespace

void Die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("vmnet double: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  abort();
}

void Count(Stat stat, int64_t change) { stats[stat] += change; }

void CountLargest(Stat stat, int64_t value) {
  int64_t largest = stats[stat];
  while (value > largest && !stats[stat].compare_exchange_weak(largest, value)) {
  }
}

std::string StatsText() {
  std::string text = "{";
  for (int i = 0; i < kStatCount; i++) {
    if (i > 0) text += ", ";
    text += '"' + std::string(kNames[i]) + "\": " + std::to_string(stats[i]);
  }
  return text + "}";
}

void Registry::Add(const void* object) {
  std::lock_guard<std::mutex> lock(mutex_);
  objects_.insert(object);
  Count(live_, 1);
}

void Registry::Remove(const void* object) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (objects_.erase(object) > 0) Count(live_, -1);
}

std::vector<const void*> Registry::All() {
  std::lock_guard<std::mutex> lock(mutex_);
  return {objects_.begin(), objects_.end()};
}

void Registry::Check(const void* object, const char* function) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (objects_.count(object) == 0) Die("%s: %p is not, or no longer, %s", function, object, kind_);
}

int MacosVersion() {
  const char* text = getenv("VMNET_DOUBLE_MACOS");
  int version = text == nullptr ? 26 : atoi(text);
  if (version < 11) Die("VMNET_DOUBLE_MACOS=%s: no version that can be simulated", text);
  return version;
}

}  // namespace vmnet_double

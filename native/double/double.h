// The double: vmnet.framework's C interface, and the little of dispatch, xpc and CoreFoundation
// that goes with it, for Linux and for tests only. An interface is a TAP in the network namespace
// of the process, so native/vmnet_session_darwin.cc runs unchanged and meets a real network stack.
//
// It proves our handling of the framework's contract, which it reads as strictly as the words
// allow; it does not prove Apple's filtering, speed or privileges. Where Apple says nothing, the
// double does what is hardest on its caller:
//   - one event per change from empty to not empty, and none before a read has found nothing;
//   - a last event after the callback was taken away, as one that was under way;
//   - every descriptor given to vmnet_read comes back changed, and so does the rest of its buffer;
//   - misuse (a handle that is not, or no longer, an interface; a stop from the interface's own
//     queue or with the callback still set; a reference released twice) ends the process.
//
// The environment sets what is simulated:
//   - VMNET_DOUBLE_MACOS: the system's major version, 26 unless set; what is newer cannot be looked
//     up
//   - VMNET_DOUBLE_TAP: the TAP's name, vmnet%d unless set
//   - VMNET_DOUBLE: faults, read at each start (faults.h has the grammar)
//   - VMNET_DOUBLE_MESSAGES: what is wrong with recvmsg_x and sendmsg_x (messages.h)
//
// This file holds what the other files of the double share.
#ifndef VMNET_DOUBLE_DOUBLE_H_
#define VMNET_DOUBLE_DOUBLE_H_

#include <stdint.h>

#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace vmnet_double {

// Says `vmnet double: …` on stderr and aborts: the caller has a defect that no test may miss.
[[noreturn]] void Die(const char* format, ...) __attribute__((format(printf, 1, 2)));

// What is counted from the process's start on, but for the kLive… ones, which say how many there
// are.
enum Stat {
  kStarts,
  kStops,
  kReads,
  kEmptyReads,
  kWrites,
  kPacketsRead,
  kPacketsWritten,
  kLargestRead,
  kLargestWrite,
  kEvents,
  kLateEvents,  // after the callback was taken away
  kPacketsDropped,
  kDhcpHeard,
  kDhcpAnswered,
  kLiveInterfaces,
  kLiveNetworks,
  kLiveQueues,
  kLiveXpcObjects,
  kStatCount,
};

void Count(Stat stat, int64_t change = 1);
void CountLargest(Stat stat, int64_t value);
// As JSON, an object of numbers.
std::string StatsText();

// The pointers of one kind that are valid now, so that the use of any other is told.
class Registry {
 public:
  Registry(const char* kind, Stat live) : kind_(kind), live_(live) {}
  void Add(const void* object);
  void Remove(const void* object);
  std::vector<const void*> All();
  // Dies unless the object is one of these; `function` is what it was given to.
  void Check(const void* object, const char* function);

 private:
  const char* const kind_;
  const Stat live_;
  std::mutex mutex_;
  std::unordered_set<const void*> objects_;
};

// The simulated system's major version.
int MacosVersion();

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_DOUBLE_H_

// Faults on demand. The grammar, words joined by commas, in VMNET_DOUBLE or in vmnetDouble(text):
//
//   start=OUTCOME    what comes of vmnet_start_interface:
//                      ok         the default
//                      STATUS     no handle, and the handler called with it (1001, …)
//                      null       no handle, and no word from the handler
//                      never      a handle, and no word from the handler
//                      early      the handler called before the handle is returned
//                      tardy:N    no handle, and the handler called with status N 200 ms later
//                      late:N     a handle, and the handler called with status N afterwards
//                      delay:MS   a handle, and the handler called when the interface is up, MS
//                      later
//   stop=OUTCOME     of vmnet_stop_interface: ok, never, STATUS (the handler's), return:N (the
//                    call's own: it schedules nothing, and the interface stays)
//                    Several with a slash between them are for one call after the other, the last
//                    one for all that follow: start=ok/1001/1001/ok
//   exhausted=N      the next N writes take half of their packets: 1007
//   short=N          writes take at most N packets and call it success
//   read=STATUS      every read fails; likewise write=STATUS
//   read_max=N       what a start says may be read at once (macOS 15); likewise write_max=N
//   event=spurious   an event with nothing to read, now and after the callback is set
//   list=null        there is no list of interfaces to bridge
//   gone             the running interfaces went away: reads and writes fail, no event comes
//   clear            no fault from here on
#ifndef VMNET_DOUBLE_FAULTS_H_
#define VMNET_DOUBLE_FAULTS_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <vector>

namespace vmnet_double {

struct Outcome {
  enum Kind { kOk, kStatus, kNull, kNever, kEarly, kTardy, kLate, kDelay, kReturn } kind = kOk;
  uint32_t number = 0;  // a status, or milliseconds
};

struct Faults {
  std::vector<Outcome> start;
  std::vector<Outcome> stop;
  std::optional<uint32_t> exhausted;
  std::optional<uint32_t> short_write;
  std::optional<uint32_t> read_status;
  std::optional<uint32_t> write_status;
  std::optional<uint32_t> read_max;
  std::optional<uint32_t> write_max;
  bool spurious_event = false;
  bool null_list = false;
  bool gone = false;
  bool clear = false;

  // What `other` says replaces what this says; its `clear` comes first.
  void Overlay(const Faults& other);
};

// False, with what is wrong in `error`, when the text does not follow the grammar.
bool ParseFaults(const std::string& text, Faults* faults, std::string* error);

// The faults of a new start: those of the environment, and over them what SetLaterFaults said
// since.
Faults CurrentFaults();
void SetLaterFaults(const Faults& faults);

// The outcome of this start, or of this stop: each call takes one of the sequence.
Outcome NextStart();
Outcome NextStop();

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_FAULTS_H_

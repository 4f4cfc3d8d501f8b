#include "faults.h"

#include <stdlib.h>

#include <mutex>

#include "double.h"

namespace vmnet_double {

namespace {

// A sequence of outcomes, and how much of it was used; another text starts it anew.
struct Sequence {
  std::vector<Outcome> outcomes;
  size_t next = 0;

  Outcome Next() {
    if (outcomes.empty()) return {};
    Outcome outcome = outcomes[next];
    if (next + 1 < outcomes.size()) next++;
    return outcome;
  }
};

struct State {
  std::mutex mutex;
  std::string environment;
  Faults faults;
  Sequence start;
  Sequence stop;

  // Reads the environment where it has changed.
  void Refresh() {
    const char* text = getenv("VMNET_DOUBLE");
    if (environment == (text == nullptr ? "" : text)) return;
    environment = text == nullptr ? "" : text;
    Faults changed;
    std::string error;
    if (!ParseFaults(environment, &changed, &error)) Die("VMNET_DOUBLE: %s", error.c_str());
    changed.clear = true;
    Put(changed);
  }

  void Put(const Faults& changed) {
    faults.Overlay(changed);
    if (changed.clear || !changed.start.empty()) start = {faults.start};
    if (changed.clear || !changed.stop.empty()) stop = {faults.stop};
  }
};

State& TheState() {
  static State& state = *new State;
  return state;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t at; (at = text.find(separator, from)) != std::string::npos; from = at + 1)
    parts.push_back(text.substr(from, at - from));
  parts.push_back(text.substr(from));
  return parts;
}

bool ParseNumber(const std::string& text, uint32_t* number) {
  if (text.empty() || text.size() > 9) return false;
  if (text.find_first_not_of("0123456789") != std::string::npos) return false;
  *number = static_cast<uint32_t>(strtoul(text.c_str(), nullptr, 10));
  return true;
}

bool ParseOutcome(const std::string& text, bool is_start, Outcome* outcome) {
  std::vector<std::string> parts = Split(text, ':');
  if (parts.size() == 2) {
    outcome->kind = parts[0] == "late"    ? Outcome::kLate
                    : parts[0] == "tardy" ? Outcome::kTardy
                    : parts[0] == "delay" ? Outcome::kDelay
                                          : Outcome::kReturn;
    bool is_of_start = parts[0] == "late" || parts[0] == "tardy" || parts[0] == "delay";
    bool known = is_start ? is_of_start : parts[0] == "return";
    return known && ParseNumber(parts[1], &outcome->number);
  }
  outcome->kind = text == "ok"      ? Outcome::kOk
                  : text == "null"  ? Outcome::kNull
                  : text == "never" ? Outcome::kNever
                  : text == "early" ? Outcome::kEarly
                                    : Outcome::kStatus;
  if (outcome->kind == Outcome::kNull || outcome->kind == Outcome::kEarly) return is_start;
  return outcome->kind != Outcome::kStatus || ParseNumber(text, &outcome->number);
}

bool ParseOutcomes(const std::string& text, bool is_start, std::vector<Outcome>* outcomes) {
  for (const std::string& each : Split(text, '/')) {
    Outcome outcome;
    if (!ParseOutcome(each, is_start, &outcome)) return false;
    outcomes->push_back(outcome);
  }
  return true;
}

bool ParseWord(const std::string& word, Faults* faults) {
  size_t equals = word.find('=');
  std::string name = word.substr(0, equals);
  std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  if (name == "start") return ParseOutcomes(value, true, &faults->start);
  if (name == "stop") return ParseOutcomes(value, false, &faults->stop);
  if (word == "event=spurious") return faults->spurious_event = true;
  if (word == "list=null") return faults->null_list = true;
  if (word == "gone") return faults->gone = true;
  if (word == "clear") return faults->clear = true;
  std::optional<uint32_t>* target = name == "exhausted"   ? &faults->exhausted
                                    : name == "short"     ? &faults->short_write
                                    : name == "read"      ? &faults->read_status
                                    : name == "write"     ? &faults->write_status
                                    : name == "read_max"  ? &faults->read_max
                                    : name == "write_max" ? &faults->write_max
                                                          : nullptr;
  if (target == nullptr) return false;
  uint32_t number;
  if (!ParseNumber(value, &number)) return false;
  *target = number;
  return true;
}

}  // namespace

void Faults::Overlay(const Faults& other) {
  if (other.clear) *this = {};
  if (!other.start.empty()) start = other.start;
  if (!other.stop.empty()) stop = other.stop;
  if (other.exhausted) exhausted = other.exhausted;
  if (other.short_write) short_write = other.short_write;
  if (other.read_status) read_status = other.read_status;
  if (other.write_status) write_status = other.write_status;
  if (other.read_max) read_max = other.read_max;
  if (other.write_max) write_max = other.write_max;
  spurious_event = spurious_event || other.spurious_event;
  null_list = null_list || other.null_list;
  gone = gone || other.gone;
}

bool ParseFaults(const std::string& text, Faults* faults, std::string* error) {
  if (text.empty()) return true;
  for (const std::string& word : Split(text, ',')) {
    if (ParseWord(word, faults)) continue;
    *error = "'" + word + "' is no fault (native/double/faults.h has the grammar)";
    return false;
  }
  return true;
}

Faults CurrentFaults() {
  State& state = TheState();
  std::lock_guard<std::mutex> lock(state.mutex);
  state.Refresh();
  return state.faults;
}

void SetLaterFaults(const Faults& faults) {
  State& state = TheState();
  std::lock_guard<std::mutex> lock(state.mutex);
  state.Refresh();
  Faults later = faults;
  later.gone = false;  // an interface that is started again is there again
  state.Put(later);
}

Outcome NextStart() {
  State& state = TheState();
  std::lock_guard<std::mutex> lock(state.mutex);
  state.Refresh();
  return state.start.Next();
}

Outcome NextStop() {
  State& state = TheState();
  std::lock_guard<std::mutex> lock(state.mutex);
  state.Refresh();
  return state.stop.Next();
}

}  // namespace vmnet_double

// What the addon keeps for each environment (the main thread, or a worker) that loaded it: nothing
// is global.
#ifndef VMBRIDGE_ENVIRONMENT_H_
#define VMBRIDGE_ENVIRONMENT_H_

#include <memory>

#include "dgram_reader.h"
#include "egress_queue.h"
#include "poller.h"
#include "run_io.h"

namespace vmbridge {

struct Environment {
  explicit Environment(Napi::Env env) : registry(OpenRegistry(env)) {}

  std::unique_ptr<Registry, void (*)(Registry*)> registry;
  std::shared_ptr<QueueBudget> queue_budget = std::make_shared<QueueBudget>();
  std::shared_ptr<Slots> slots = std::make_shared<Slots>();
  // One for all: a batch is walked to its end before the next is read.
  DgramReader dgram_reader;
  Napi::FunctionReference dgram_socket;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_ENVIRONMENT_H_

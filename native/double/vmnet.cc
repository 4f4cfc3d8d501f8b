// The functions of vmnet.framework.
#include <vmnet/vmnet.h>

#include <chrono>
#include <future>
#include <thread>

#include "dispatch.h"
#include "double.h"
#include "faults.h"
#include "interface.h"
#include "start.h"
#include "xpc.h"

namespace vmnet_double {

using StartHandler = KeptBlock<vmnet_start_interface_completion_handler_t>;
using StopHandler = KeptBlock<vmnet_interface_completion_handler_t>;

interface_ref StartInterface(vmnet_return_t checked, const Settings& settings,
                             std::shared_ptr<void> network, dispatch_queue_t queue,
                             vmnet_start_interface_completion_handler_t handler) {
  if (queue == nullptr || handler == nullptr) Die("a start needs a queue and a handler");
  Count(kStarts);
  Outcome outcome = NextStart();
  StartHandler kept(handler);
  if (outcome.kind == Outcome::kNull) return nullptr;
  if (outcome.kind == Outcome::kTardy) {
    RetainQueue(queue);
    std::thread([=] {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      Dispatch(queue, [=] { kept(static_cast<vmnet_return_t>(outcome.number), nullptr); });
      dispatch_release(queue);
    }).detach();
    return nullptr;
  }
  if (outcome.kind == Outcome::kStatus) checked = static_cast<vmnet_return_t>(outcome.number);
  if (checked != VMNET_SUCCESS) {
    Dispatch(queue, [=] { kept(checked, nullptr); });
    return nullptr;
  }
  vmnet_interface* interface = vmnet_interface::Make(settings, CurrentFaults(), queue);
  interface->network = std::move(network);
  if (outcome.kind == Outcome::kNever) return interface;
  std::promise<void> called;
  std::promise<void>* early = outcome.kind == Outcome::kEarly ? &called : nullptr;
  std::thread([=] {
    if (outcome.kind == Outcome::kDelay)
      std::this_thread::sleep_for(std::chrono::milliseconds(outcome.number));
    xpc_object_t parameters = nullptr;
    vmnet_return_t status = outcome.kind == Outcome::kLate
                                ? static_cast<vmnet_return_t>(outcome.number)
                                : interface->Open(&parameters);
    Dispatch(queue, [=] {
      status == VMNET_SUCCESS ? interface->SetRunning() : interface->Fail();
      kept(status, parameters);
      if (parameters != nullptr) xpc_release(parameters);
      if (early != nullptr) early->set_value();
    });
  }).detach();
  if (early != nullptr) called.get_future().wait();
  return interface;
}

}  // namespace vmnet_double

using namespace vmnet_double;

interface_ref vmnet_start_interface(xpc_object_t interface_desc, dispatch_queue_t queue,
                                    vmnet_start_interface_completion_handler_t handler) {
  CheckDictionary(interface_desc, "vmnet_start_interface");
  Settings settings;
  vmnet_return_t checked = ReadSettings(interface_desc, &settings);
  return StartInterface(checked, settings, nullptr, queue, handler);
}

vmnet_return_t vmnet_interface_set_event_callback(interface_ref interface,
                                                  interface_event_t event_mask,
                                                  dispatch_queue_t queue,
                                                  vmnet_interface_event_callback_t callback) {
  vmnet_interface* known = vmnet_interface::Of(interface, "vmnet_interface_set_event_callback");
  if ((queue == nullptr) != (callback == nullptr)) return VMNET_INVALID_ARGUMENT;
  if (event_mask != VMNET_INTERFACE_PACKETS_AVAILABLE) return VMNET_INVALID_ARGUMENT;
  return known->SetEventCallback(queue, callback);
}

vmnet_return_t vmnet_read(interface_ref interface, struct vmpktdesc* packets, int* pktcnt) {
  return vmnet_interface::Of(interface, "vmnet_read")->Read(packets, pktcnt);
}

vmnet_return_t vmnet_write(interface_ref interface, struct vmpktdesc* packets, int* pktcnt) {
  return vmnet_interface::Of(interface, "vmnet_write")->Write(packets, pktcnt);
}

vmnet_return_t vmnet_stop_interface(interface_ref interface, dispatch_queue_t queue,
                                    vmnet_interface_completion_handler_t handler) {
  vmnet_interface* known = vmnet_interface::Of(interface, "vmnet_stop_interface");
  if (queue == nullptr || handler == nullptr) Die("a stop needs a queue and a handler");
  Outcome outcome = NextStop();
  if (outcome.kind == Outcome::kReturn) return static_cast<vmnet_return_t>(outcome.number);
  vmnet_return_t begun = known->BeginStop();
  if (begun != VMNET_SUCCESS) return begun;
  Count(kStops);
  if (outcome.kind == Outcome::kNever) return VMNET_SUCCESS;
  vmnet_return_t status = outcome.kind == Outcome::kStatus
                              ? static_cast<vmnet_return_t>(outcome.number)
                              : VMNET_SUCCESS;
  RetainQueue(queue);
  std::thread([=, kept = StopHandler(handler)] {
    known->Close();
    Dispatch(known->last_queue(), [=] {
      known->Finish();
      Dispatch(queue, [=] { kept(status); });
      dispatch_release(queue);
    });
  }).detach();
  return VMNET_SUCCESS;
}

xpc_object_t vmnet_copy_shared_interface_list() {
  return CurrentFaults().null_list ? nullptr : MakeStringArray(Bridges());
}

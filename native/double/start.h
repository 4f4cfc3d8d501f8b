// What both ways to start an interface share.
#ifndef VMNET_DOUBLE_START_H_
#define VMNET_DOUBLE_START_H_

#include <memory>

#include "settings.h"

namespace vmnet_double {

// `checked` is what the description was worth; anything but success is said by the handler, and
// there is no handle.
interface_ref StartInterface(vmnet_return_t checked, const Settings& settings,
                             std::shared_ptr<void> network, dispatch_queue_t queue,
                             vmnet_start_interface_completion_handler_t handler);

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_START_H_

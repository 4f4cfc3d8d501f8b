// What the system says of a network interface of the host: whether it is there, carries, and is a
// radio.
#ifndef VMBRIDGE_LINK_H_
#define VMBRIDGE_LINK_H_

#include <napi.h>

namespace vmbridge {

// linkOf(name) => {state: 'missing' | 'down' | 'up', wireless: boolean}, or undefined when there is
// no descriptor left to ask with. `down` is an interface that was switched off, or without a
// carrier: a cable that is not plugged in, Wi-Fi without a network.
Napi::Value LinkOf(const Napi::CallbackInfo& info);

}  // namespace vmbridge

#endif  // VMBRIDGE_LINK_H_

// vmnetDouble(text), which the addon has in builds with the double only: faults for what runs and
// for later starts (faults.h has the grammar); for "stats" it returns the counters as JSON;
// "bug=race", "bug=use-after-free" and "bug=overflow" do that, to see the sanitizers at work.
#ifndef VMNET_DOUBLE_CONTROL_H_
#define VMNET_DOUBLE_CONTROL_H_

#include <napi.h>

namespace vmnet_double {

// Throws a TypeError when the text does not follow the grammar.
Napi::Value Control(const Napi::CallbackInfo& info);

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_CONTROL_H_

// The cells of a port's counters that native code writes: the same list as src/switch/counters.ts,
// which explains them. The memory is a Float64Array that JavaScript owns, so reading a counter
// costs no call.
#ifndef VMBRIDGE_COUNTERS_H_
#define VMBRIDGE_COUNTERS_H_

namespace vmbridge {

enum Counter {
  kTxFrames = 0,
  kTxBytes = 1,
  kDropTxFull = 2,
  kDropTxError = 3,
  kDropTxDown = 4,
  kDropRxTooBig = 15,
};

// How many cells a port has.
constexpr int kCounters = 16;

}  // namespace vmbridge

#endif  // VMBRIDGE_COUNTERS_H_

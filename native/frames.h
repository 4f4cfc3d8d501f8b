// Walking framed runs: each frame stands behind its length, 32 bits big-endian, which does not
// count itself.
#ifndef VMBRIDGE_FRAMES_H_
#define VMBRIDGE_FRAMES_H_

#include <stddef.h>
#include <stdint.h>

namespace vmbridge {

constexpr size_t kLengthBytes = 4;
// The longest frame that the framing may announce (src/switch/run.ts has the same).
constexpr size_t kMaxFrame = 65536;

inline uint32_t FrameLength(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
}

inline void PutFrameLength(uint8_t* at, uint32_t length) {
  at[0] = static_cast<uint8_t>(length >> 24);
  at[1] = static_cast<uint8_t>(length >> 16);
  at[2] = static_cast<uint8_t>(length >> 8);
  at[3] = static_cast<uint8_t>(length);
}

// A stretch of a run, as JavaScript lists it in a port's Int32Array: it holds whole frames.
struct Stretch {
  int32_t offset;
  int32_t length;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_FRAMES_H_

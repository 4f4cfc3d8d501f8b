// A batch of datagrams in a run buffer. How long a datagram is shows only when it is there, so each
// has a slot of one length (Port.slotBytes), made so that full frames touch: they are one stretch
// then. What does not fit its slot is rare (a VM with a larger MTU than ours): its rest waits
// beside the run, and it is put together behind the slots when its turn comes.
#ifndef VMBRIDGE_DGRAM_READER_H_
#define VMBRIDGE_DGRAM_READER_H_

#include <memory>
#include <vector>

#include "datagrams.h"
#include "frames.h"

namespace vmbridge {

class DgramReader {
 public:
  DgramReader() : datagrams_(DatagramReceiver::kMost) {}

  // Receives what waits into `run`, in slots for frames of `longest` bytes (a length before each),
  // and less where the run has no more room. Returns how many, or -1 with errno.
  // `with_senders` as DatagramReceiver has it.
  int Receive(int fd, uint8_t* run, size_t run_capacity, size_t longest, bool with_senders);

  // Of the last batch, valid until the next.
  const Datagram& operator[](int i) const { return datagrams_[static_cast<size_t>(i)]; }
  // What vfkit and krunkit say first, which is no frame.
  bool IsGreeting(int i) const;
  bool IsTooBig(int i) const { return (*this)[i].is_cut || (*this)[i].length > kMaxFrame; }
  bool FitsSlot(int i) const { return (*this)[i].length <= longest_; }
  size_t slot_bytes() const { return kLengthBytes + longest_; }

  // Puts a datagram that does not fit its slot together, and returns where it stands and where it
  // ends. Slots are not touched by it.
  struct Place {
    size_t from;
    size_t end;
  };
  Place Assemble(int i);

 private:
  DatagramReceiver receiver_;
  std::vector<Datagram> datagrams_;
  // The rests, one behind the other. Memory that nothing is written to costs nothing.
  std::unique_ptr<uint8_t, void (*)(void*)> rests_{nullptr, nullptr};
  uint8_t* run_ = nullptr;
  size_t longest_ = 0;
  size_t tail_ = 0;
};

}  // namespace vmbridge

#endif  // VMBRIDGE_DGRAM_READER_H_

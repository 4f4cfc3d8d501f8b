// An interface, from vmnet_start_interface to the completion of vmnet_stop_interface: a TAP, a
// thread that reads it into a bounded queue of packets, and the events that this gives rise to.
//
// What is left of an interface after its end is kept, so that a late use is told and not undefined.
#ifndef VMNET_DOUBLE_INTERFACE_H_
#define VMNET_DOUBLE_INTERFACE_H_

#include <vmnet/vmnet.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "bootpd.h"
#include "dispatch.h"
#include "double.h"
#include "faults.h"
#include "netdev.h"
#include "settings.h"

namespace vmnet_double {

// What a call may carry at most (vmnet-helper's and the contract's figures).
constexpr uint32_t kMostPackets = 200;
constexpr size_t kMostBytes = 256 * 1024;
// Packets that wait to be read; what comes beyond is lost.
constexpr size_t kQueuedPackets = 1024;

constexpr size_t kEthernetHeader = 14;

}  // namespace vmnet_double

struct vmnet_interface {
 public:
  using EventCallback = vmnet_double::KeptBlock<vmnet_interface_event_callback_t>;

  // A new one, being started; it holds the queue until its end.
  static vmnet_interface* Make(const vmnet_double::Settings& settings,
                               const vmnet_double::Faults& faults, dispatch_queue_t queue);
  // Dies unless this is an interface that may still be used; `function` is what it was given to.
  static vmnet_interface* Of(interface_ref interface, const char* function);
  // Faults for all that there are.
  static void SetFaults(const vmnet_double::Faults& faults);

  // Makes the TAP; the interface's parameters, or a status. Blocks.
  vmnet_return_t Open(xpc_object_t* parameters);
  // Right before the caller hears of it.
  void SetRunning();
  // The start failed: there is no interface.
  void Fail();

  vmnet_return_t SetEventCallback(dispatch_queue_t queue,
                                  vmnet_interface_event_callback_t callback);
  vmnet_return_t Read(struct vmpktdesc* packets, int* count);
  vmnet_return_t Write(struct vmpktdesc* packets, int* count);

  // Takes the interface from its caller.
  vmnet_return_t BeginStop();
  // Ends the reader and the TAP. Blocks.
  void Close();
  // No event from here on. To be called on `last_queue`, behind the events that are there.
  void Finish();
  dispatch_queue_t last_queue() const { return event_queue_ == nullptr ? queue_ : event_queue_; }

  // What an interface of a network object holds until its end.
  std::shared_ptr<void> network;

 private:
  enum class State { kStarting, kRunning, kStopping, kOver };

  vmnet_interface(const vmnet_double::Settings& settings, const vmnet_double::Faults& faults,
                  dispatch_queue_t queue);

  xpc_object_t Parameters() const;
  // Dies when the interface is being stopped. With the lock held.
  vmnet_return_t CheckState(const char* function) const;
  vmnet_return_t CheckRead(const struct vmpktdesc* packets, int count) const;
  vmnet_return_t CheckWrite(const struct vmpktdesc* packets, int count) const;
  void ReadTap();
  void Queue(const uint8_t* packet, size_t length);
  void Post(vmnet_double::Stat stat);
  void Deliver(const std::shared_ptr<EventCallback>& callback, vmnet_double::Stat stat);
  int WriteTap(const struct vmpktdesc* packets, int count);
  void End();

  const dispatch_queue_t queue_;
  vmnet_double::Settings settings_;
  vmnet_double::Tap tap_;
  int stop_fd_ = -1;
  std::thread reader_;
  size_t max_packet_size_ = 0;
  uint32_t read_max_ = vmnet_double::kMostPackets;
  uint32_t write_max_ = vmnet_double::kMostPackets;
  dispatch_queue_t event_queue_ = nullptr;  // the last one, held until the end

  std::mutex mutex_;  // for all below
  State state_ = State::kStarting;
  vmnet_double::Faults faults_;
  int writers_ = 0;  // calls that are under way
  std::optional<vmnet_double::Bootpd> bootpd_;
  std::deque<std::vector<uint8_t>> packets_;
  // A read has found nothing since the last event.
  bool is_drained_ = true;
  std::shared_ptr<EventCallback> callback_;
};

#endif  // VMNET_DOUBLE_INTERFACE_H_

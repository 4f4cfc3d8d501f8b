// What the driver's cases are made of: an interface that runs, batches of packets, and the host at
// the other end of the TAP.
#ifndef VMNET_DOUBLE_DRIVER_H_
#define VMNET_DOUBLE_DRIVER_H_

#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmnet/vmnet.h>
// after net/if.h, which defines some of the same
#include <linux/if_packet.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "double.h"

namespace vmnet_double {

constexpr size_t kMaxPacket = 1514;

// How often something happened, for other threads to wait for.
class Occasion {
 public:
  void Happen() {
    std::lock_guard<std::mutex> lock(mutex_);
    times_++;
    changed_.notify_all();
  }
  void Await(int times) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return times_ >= times; });
  }
  int times() {
    std::lock_guard<std::mutex> lock(mutex_);
    return times_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int times_ = 0;
};

inline void Say(const char* what, long value) {
  printf("%s %ld\n", what, value);
  fflush(stdout);
}

// Runs on the queue, and waits until it has.
inline void OnQueue(dispatch_queue_t queue, const std::function<void()>& work) {
  Occasion done;
  Occasion* done_at = &done;
  const std::function<void()>* work_at = &work;
  dispatch_async(queue, ^{
    (*work_at)();
    done_at->Happen();
  });
  done.Await(1);
}

// Packets for vmnet_read and vmnet_write, each in a buffer of its own.
struct Batch {
  explicit Batch(int count, size_t size = kMaxPacket)
      : bytes(static_cast<size_t>(count) * size), buffers(count), packets(count) {
    for (int i = 0; i < count; i++) {
      buffers[i] = {&bytes[static_cast<size_t>(i) * size], size};
      packets[i] = {size, &buffers[i], 1, 0};
    }
  }
  std::vector<uint8_t> bytes;
  std::vector<struct iovec> buffers;
  std::vector<struct vmpktdesc> packets;
};

struct Subject {
  dispatch_queue_t queue = dispatch_queue_create("driver", nullptr);
  interface_ref interface = nullptr;
  vmnet_return_t status = VMNET_FAILURE;
  Occasion events;

  // Starts a network in shared mode, with Apple's defaults.
  Subject() {
    xpc_object_t description = Describe(VMNET_SHARED_MODE);
    Start(description);
    xpc_release(description);
    if (status != VMNET_SUCCESS) Die("driver: start gave %u", status);
  }

  // Starts what is described, and waits for the handler.
  explicit Subject(xpc_object_t description) { Start(description); }

  static xpc_object_t Describe(uint64_t mode) {
    xpc_object_t description = xpc_dictionary_create(nullptr, nullptr, 0);
    xpc_dictionary_set_uint64(description, vmnet_operation_mode_key, mode);
    return description;
  }

  void Start(xpc_object_t description) {
    Occasion started;
    Occasion* started_at = &started;
    vmnet_return_t* status_at = &status;
    interface = vmnet_start_interface(description, queue, ^(vmnet_return_t result, xpc_object_t) {
      *status_at = result;
      started_at->Happen();
    });
    started.Await(1);
  }

  void Listen() {
    Occasion* events_at = &events;
    vmnet_interface_set_event_callback(interface, VMNET_INTERFACE_PACKETS_AVAILABLE, queue,
                                       ^(interface_event_t, xpc_object_t) {
                                         events_at->Happen();
                                       });
  }

  void StopListening() {
    vmnet_interface_set_event_callback(interface, VMNET_INTERFACE_PACKETS_AVAILABLE, nullptr,
                                       nullptr);
  }

  void Stop() {
    Occasion stopped;
    Occasion* stopped_at = &stopped;
    vmnet_stop_interface(interface, queue, ^(vmnet_return_t) {
      stopped_at->Happen();
    });
    stopped.Await(1);
  }

  vmnet_return_t Read(Batch* batch, int* count) {
    return vmnet_read(interface, batch->packets.data(), count);
  }

  // The status of reading one packet into a batch of these.
  void SayRead(const char* what, Batch batch, int count) {
    Say(what, static_cast<long>(Read(&batch, &count)));
  }

  void SayWrite(const char* what, Batch batch, int count) {
    Say(what, static_cast<long>(vmnet_write(interface, batch.packets.data(), &count)));
  }
};

// The host's side: sends a frame that the interface then has to read.
inline void SendFromHost() {
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  struct sockaddr_ll to = {};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex("vmnet0"));
  uint8_t frame[60] = {};
  memset(frame, 0xff, 6);
  frame[12] = 0x88;
  frame[13] = 0xb5;
  if (sendto(fd, frame, sizeof frame, 0, reinterpret_cast<struct sockaddr*>(&to), sizeof to) < 0)
    Die("driver: cannot send");
  close(fd);
}

// Reads until `wanted` packets have come; the last read finds nothing.
inline void ReadAll(Subject* subject, int wanted) {
  for (int got = 0, count = 1; got < wanted || count > 0; got += count) {
    Batch batch(16);
    count = 16;
    if (subject->Read(&batch, &count) != VMNET_SUCCESS) Die("driver: cannot read");
  }
}

}  // namespace vmnet_double

#endif  // VMNET_DOUBLE_DRIVER_H_

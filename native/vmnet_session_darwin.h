// One interface of vmnet.framework, from its start to its stop: the framework's side of the vmnet
// uplink, without Node. native/vmnet_darwin.h is the other side.
//
// Threads: the framework calls back on two dispatch queues of the session's own. `control_` runs
// the calls that may take long (start, stop), so that the loop never waits for vmnetd; `events_`
// runs the framework's callbacks, which note what happened and wake the loop by a pipe, and nothing
// else. Read and Write happen on the loop's thread.
//
// Every block holds the session, so it lives until the framework has forgotten all of them. A start
// that never calls back leaks a session without descriptors, since Abandon closes those.
//
// Facts about the framework are from its headers and from what other programs that use it learnt;
// none of this has run on a Mac unless a test report says so.
#ifndef VMBRIDGE_VMNET_SESSION_DARWIN_H_
#define VMBRIDGE_VMNET_SESSION_DARWIN_H_

// What vmnet.h of older systems uses without including it.
#include <dispatch/dispatch.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <vmnet/vmnet.h>
#include <xpc/xpc.h>

#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "wake_pipe.h"

namespace vmbridge {

using Uuid = std::array<uint8_t, 16>;

// What an interface is started with; what is empty or zero is left to the framework.
struct VmnetSettings {
  uint64_t mode = 0;      // operating_modes_t
  std::string interface;  // the interface to bridge
  // The gateway, the end of Apple's DHCP pool and the netmask: dotted, all or none.
  std::string start;
  std::string end;
  std::string mask;
  std::string host_address;  // host mode with a network identifier
  std::string host_mask;
  std::string nat66_prefix;
  std::optional<Uuid> interface_id;
  std::optional<Uuid> network_id;
  uint64_t mtu = 0;
  bool isolate = false;
  // By a network object of macOS 26, without Apple's DHCP server: in the subnet of `start` and
  // `mask`, whose second address is the host's.
  bool network_object = false;
};

// What the framework says of a started interface.
struct VmnetParameters {
  std::string mac;
  std::string start;
  std::string end;
  std::string mask;
  std::optional<Uuid> interface_id;
  uint64_t mtu = 0;
  uint64_t max_packet_size = 0;
  uint64_t read_max_packets = 0;  // 0 before macOS 15
  uint64_t write_max_packets = 0;
};

class VmnetSession : public std::enable_shared_from_this<VmnetSession> {
 public:
  enum class State { kStarting, kRunning, kFailed, kStopping, kStopped };
  // What a report says besides the status of the framework: which call it is of.
  struct Report {
    State state;
    uint32_t status;
    const char* call;
    // What can be bridged, where the interface that was asked for cannot.
    std::vector<std::string> bridgeable;
  };

  // Begins to start an interface. Null (errno set) when there are no descriptors.
  static std::shared_ptr<VmnetSession> Start(const VmnetSettings& settings);
  // Not to be called: Start makes sessions.
  explicit VmnetSession(const VmnetSettings& settings);
  ~VmnetSession();
  VmnetSession(const VmnetSession&) = delete;
  VmnetSession& operator=(const VmnetSession&) = delete;

  // Each change of the state makes `control` readable.
  WakePipe control;
  // Packets that wait to be read make `packets` readable.
  WakePipe packets;

  Report report();
  VmnetParameters parameters();

  // No callback reaches the loop any more; an interface that is running, or that comes up later, is
  // stopped.
  void Abandon();
  // Stops a running interface; the state becomes kStopped, or kFailed with the framework's status.
  void Stop();

  // On the loop's thread, as Stop and Abandon are. As vmnet_read and vmnet_write between kRunning
  // and Stop; VMNET_INVALID_ACCESS before and after, where the framework may have no such
  // interface.
  vmnet_return_t Read(struct vmpktdesc* packets, int* count);
  vmnet_return_t Write(struct vmpktdesc* packets, int* count);

 private:
  bool IsRunning();
  void StartInterface();
  // False, and the session has failed, when macOS lists what can be bridged and this is not among
  // it.
  bool CheckBridged();
  interface_ref StartWithNetwork(xpc_object_t description,
                                 vmnet_start_interface_completion_handler_t handler);
  xpc_object_t Describe() const;
  void OnStarted(vmnet_return_t status, xpc_object_t parameters);
  // Looks whether both the handle and the completion are there, and goes on.
  void Settle();
  void StopInterface();
  // A network object holds its subnet as long as it lives: given back before anybody is told of the
  // end.
  void ReleaseNetwork();
  void SetState(State state, uint32_t status, const char* call);

  const VmnetSettings settings_;
  dispatch_queue_t control_queue_;
  dispatch_queue_t events_;

  std::mutex mutex_;  // for all below
  State state_ = State::kStarting;
  uint32_t status_ = VMNET_SUCCESS;
  const char* call_ = "";
  VmnetParameters parameters_;
  interface_ref interface_ = nullptr;
  void* network_ = nullptr;  // vmnet_network_ref, held as long as the interface
  bool has_handle_ = false;
  bool has_completion_ = false;
  bool settled_ = false;
  bool abandoned_ = false;
  vmnet_return_t completion_ = VMNET_SUCCESS;
  std::vector<std::string> bridgeable_;
  std::condition_variable completed_;
};

// Whether this system has the network objects of macOS 26.
bool VmnetHasNetworkObjects();

// The names of the interfaces that can be bridged. False when the framework gives no list.
bool VmnetSharedInterfaces(std::vector<std::string>* names);

}  // namespace vmbridge

#endif  // VMBRIDGE_VMNET_SESSION_DARWIN_H_

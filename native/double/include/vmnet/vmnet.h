// Apple's <vmnet/vmnet.h> up to macOS 11.0, as far as it is used here; the code is in
// native/double. What came later (keys of 15.0, network objects of 26.0) is left out on purpose: it
// has to be looked up at run time. So are the system headers that older SDKs do not include either.
#ifndef VMNET_DOUBLE_VMNET_VMNET_H_
#define VMNET_DOUBLE_VMNET_VMNET_H_

#include <dispatch/dispatch.h>
#include <stddef.h>
#include <stdint.h>
#include <xpc/xpc.h>

enum operating_modes_t : uint32_t {
  VMNET_HOST_MODE = 1000,
  VMNET_SHARED_MODE = 1001,
  VMNET_BRIDGED_MODE = 1002,
};

typedef uint32_t interface_event_t;
enum : interface_event_t {
  VMNET_INTERFACE_PACKETS_AVAILABLE = 1 << 0,
};

// 1010, not authorized, has no name before the SDK of macOS 26.
enum vmnet_return_t : uint32_t {
  VMNET_SUCCESS = 1000,
  VMNET_FAILURE = 1001,
  VMNET_MEM_FAILURE = 1002,
  VMNET_INVALID_ARGUMENT = 1003,
  VMNET_SETUP_INCOMPLETE = 1004,
  VMNET_INVALID_ACCESS = 1005,
  VMNET_PACKET_TOO_BIG = 1006,
  VMNET_BUFFER_EXHAUSTED = 1007,
  VMNET_TOO_MANY_PACKETS = 1008,
  VMNET_SHARING_SERVICE_BUSY = 1009,
};

struct iovec;

struct vmpktdesc {
  size_t vm_pkt_size;
  struct iovec* _Nonnull vm_pkt_iov;
  uint32_t vm_pkt_iovcnt;
  uint32_t vm_flags;
};

typedef struct vmnet_interface* interface_ref;

extern "C" {
#pragma clang assume_nonnull begin

extern const char* const vmnet_operation_mode_key;
extern const char* const vmnet_shared_interface_name_key;
extern const char* const vmnet_mac_address_key;
extern const char* const vmnet_allocate_mac_address_key;
extern const char* const vmnet_mtu_key;
extern const char* const vmnet_max_packet_size_key;
extern const char* const vmnet_interface_id_key;
extern const char* const vmnet_start_address_key;
extern const char* const vmnet_end_address_key;
extern const char* const vmnet_subnet_mask_key;
extern const char* const vmnet_nat66_prefix_key;
extern const char* const vmnet_estimated_packets_available_key;
extern const char* const vmnet_network_identifier_key;
extern const char* const vmnet_host_ip_address_key;
extern const char* const vmnet_host_subnet_mask_key;
extern const char* const vmnet_host_ipv6_address_key;
extern const char* const vmnet_enable_tso_key;
extern const char* const vmnet_enable_isolation_key;

typedef void (^vmnet_start_interface_completion_handler_t)(vmnet_return_t status,
                                                           xpc_object_t _Nullable interface_param);
typedef void (^vmnet_interface_event_callback_t)(interface_event_t event_mask, xpc_object_t event);
typedef void (^vmnet_interface_completion_handler_t)(vmnet_return_t status);

interface_ref _Nullable vmnet_start_interface(xpc_object_t interface_desc, dispatch_queue_t queue,
                                              vmnet_start_interface_completion_handler_t handler);
vmnet_return_t vmnet_interface_set_event_callback(
    interface_ref interface, interface_event_t event_mask, dispatch_queue_t _Nullable queue,
    vmnet_interface_event_callback_t _Nullable callback);
vmnet_return_t vmnet_read(interface_ref interface, struct vmpktdesc* packets, int* pktcnt);
vmnet_return_t vmnet_write(interface_ref interface, struct vmpktdesc* packets, int* pktcnt);
vmnet_return_t vmnet_stop_interface(interface_ref interface, dispatch_queue_t queue,
                                    vmnet_interface_completion_handler_t handler);
xpc_object_t _Nullable vmnet_copy_shared_interface_list(void);

#pragma clang assume_nonnull end
}

#endif  // VMNET_DOUBLE_VMNET_VMNET_H_

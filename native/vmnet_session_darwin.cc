#include "vmnet_session_darwin.h"

#include <CoreFoundation/CoreFoundation.h>
#include <arpa/inet.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace vmbridge {

namespace {

// How long a start without a handle may take to say why.
constexpr std::chrono::seconds kGrace(1);

// macOS 26, by name: older systems do not have them, and an addon that is linked to them would not
// load there. References are released by CFRelease. Older headers do not have the types either, so
// they are void* here.
using NetworkConfigurationCreate = void* (*)(uint32_t mode, vmnet_return_t* status);
using NetworkConfigurationDisableDhcp = void (*)(void* configuration);
using NetworkConfigurationSetIpv4Subnet = vmnet_return_t (*)(void* configuration,
                                                             const struct in_addr* subnet,
                                                             const struct in_addr* mask);
using NetworkConfigurationSetIpv6Prefix = vmnet_return_t (*)(void* configuration,
                                                             const struct in6_addr* prefix,
                                                             uint8_t length);
using NetworkConfigurationSetMtu = vmnet_return_t (*)(void* configuration, uint32_t mtu);
using NetworkCreate = void* (*)(void* configuration, vmnet_return_t* status);
using StartWithNetworkObject =
    interface_ref (*)(void* network, xpc_object_t description, dispatch_queue_t queue,
                      vmnet_start_interface_completion_handler_t handler);

template <typename Function>
Function Find(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

// A key that newer systems have, as the framework exports it: a pointer to its text.
const char* FindKey(const char* name) {
  auto key = static_cast<const char* const*>(dlsym(RTLD_DEFAULT, name));
  return key == nullptr ? nullptr : *key;
}

std::string GetString(xpc_object_t dictionary, const char* key) {
  const char* value = xpc_dictionary_get_string(dictionary, key);
  return value == nullptr ? "" : value;
}

uint64_t GetNumber(xpc_object_t dictionary, const char* key) {
  return key == nullptr ? 0 : xpc_dictionary_get_uint64(dictionary, key);
}

void SetString(xpc_object_t dictionary, const char* key, const std::string& value) {
  if (!value.empty()) xpc_dictionary_set_string(dictionary, key, value.c_str());
}

VmnetParameters Read(xpc_object_t dictionary) {
  VmnetParameters result;
  result.mac = GetString(dictionary, vmnet_mac_address_key);
  result.start = GetString(dictionary, vmnet_start_address_key);
  result.end = GetString(dictionary, vmnet_end_address_key);
  result.mask = GetString(dictionary, vmnet_subnet_mask_key);
  result.mtu = GetNumber(dictionary, vmnet_mtu_key);
  result.max_packet_size = GetNumber(dictionary, vmnet_max_packet_size_key);
  result.read_max_packets = GetNumber(dictionary, FindKey("vmnet_read_max_packets_key"));
  result.write_max_packets = GetNumber(dictionary, FindKey("vmnet_write_max_packets_key"));
  const uint8_t* id = xpc_dictionary_get_uuid(dictionary, vmnet_interface_id_key);
  if (id != nullptr) {
    result.interface_id.emplace();
    std::copy(id, id + result.interface_id->size(), result.interface_id->begin());
  }
  return result;
}

}  // namespace

std::shared_ptr<VmnetSession> VmnetSession::Start(const VmnetSettings& settings) {
  auto session = std::make_shared<VmnetSession>(settings);
  if (!session->control.Open() || !session->packets.Open()) return nullptr;
  dispatch_async(session->control_queue_, ^{
    session->StartInterface();
  });
  return session;
}

VmnetSession::VmnetSession(const VmnetSettings& settings)
    : settings_(settings),
      control_queue_(dispatch_queue_create("io.github.vmbridge.vmnet.control", nullptr)),
      events_(dispatch_queue_create("io.github.vmbridge.vmnet.events", nullptr)) {}

VmnetSession::~VmnetSession() {
  ReleaseNetwork();
  dispatch_release(control_queue_);
  dispatch_release(events_);
}

VmnetSession::Report VmnetSession::report() {
  std::lock_guard<std::mutex> lock(mutex_);
  return {state_, status_, call_, bridgeable_};
}

VmnetParameters VmnetSession::parameters() {
  std::lock_guard<std::mutex> lock(mutex_);
  return parameters_;
}

xpc_object_t VmnetSession::Describe() const {
  xpc_object_t description = xpc_dictionary_create(nullptr, nullptr, 0);
  // Our VMs bring their own addresses.
  xpc_dictionary_set_bool(description, vmnet_allocate_mac_address_key, true);
  if (settings_.isolate) xpc_dictionary_set_bool(description, vmnet_enable_isolation_key, true);
  // An interface of a network object takes no more than these.
  if (settings_.network_object) return description;
  xpc_dictionary_set_uint64(description, vmnet_operation_mode_key, settings_.mode);
  SetString(description, vmnet_shared_interface_name_key, settings_.interface);
  SetString(description, vmnet_start_address_key, settings_.start);
  SetString(description, vmnet_end_address_key, settings_.end);
  SetString(description, vmnet_subnet_mask_key, settings_.mask);
  SetString(description, vmnet_host_ip_address_key, settings_.host_address);
  SetString(description, vmnet_host_subnet_mask_key, settings_.host_mask);
  SetString(description, vmnet_nat66_prefix_key, settings_.nat66_prefix);
  if (settings_.interface_id)
    xpc_dictionary_set_uuid(description, vmnet_interface_id_key, settings_.interface_id->data());
  if (settings_.network_id)
    xpc_dictionary_set_uuid(description, vmnet_network_identifier_key,
                            settings_.network_id->data());
  if (settings_.mtu > 0) xpc_dictionary_set_uint64(description, vmnet_mtu_key, settings_.mtu);
  return description;
}

bool VmnetSession::CheckBridged() {
  std::vector<std::string> names;
  if (settings_.interface.empty() || !VmnetSharedInterfaces(&names) ||
      std::find(names.begin(), names.end(), settings_.interface) != names.end()) {
    return true;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  bridgeable_ = std::move(names);
  settled_ = true;
  SetState(State::kFailed, VMNET_INVALID_ARGUMENT, "vmnet_copy_shared_interface_list");
  return false;
}

void VmnetSession::StartInterface() {
  if (!CheckBridged()) return;
  auto self = shared_from_this();
  vmnet_start_interface_completion_handler_t handler =
      ^(vmnet_return_t status, xpc_object_t parameters) {
        self->OnStarted(status, parameters);
      };
  xpc_object_t description = Describe();
  interface_ref interface = settings_.network_object
                                ? StartWithNetwork(description, handler)
                                : vmnet_start_interface(description, events_, handler);
  xpc_release(description);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (settled_) return;  // the network object said no
    interface_ = interface;
    has_handle_ = true;
  }
  Settle();
  if (interface != nullptr) return;
  // The handler may still say why.
  std::unique_lock<std::mutex> lock(mutex_);
  completed_.wait_for(lock, kGrace, [this] { return has_completion_; });
  if (settled_) return;
  settled_ = true;
  SetState(State::kFailed, has_completion_ ? static_cast<uint32_t>(completion_) : 0u,
           "vmnet_start_interface");
}

interface_ref VmnetSession::StartWithNetwork(xpc_object_t description,
                                             vmnet_start_interface_completion_handler_t handler) {
  auto create = Find<NetworkConfigurationCreate>("vmnet_network_configuration_create");
  auto disable_dhcp =
      Find<NetworkConfigurationDisableDhcp>("vmnet_network_configuration_disable_dhcp");
  auto set_subnet =
      Find<NetworkConfigurationSetIpv4Subnet>("vmnet_network_configuration_set_ipv4_subnet");
  auto set_prefix =
      Find<NetworkConfigurationSetIpv6Prefix>("vmnet_network_configuration_set_ipv6_prefix");
  auto set_mtu = Find<NetworkConfigurationSetMtu>("vmnet_network_configuration_set_mtu");
  auto create_network = Find<NetworkCreate>("vmnet_network_create");
  auto start = Find<StartWithNetworkObject>("vmnet_interface_start_with_network");
  vmnet_return_t status = VMNET_FAILURE;
  const char* call = "vmnet_network_configuration_create";
  void* configuration = nullptr;
  void* network = nullptr;
  if (create != nullptr && disable_dhcp != nullptr && set_subnet != nullptr &&
      set_prefix != nullptr && set_mtu != nullptr && create_network != nullptr &&
      start != nullptr) {
    configuration = create(static_cast<uint32_t>(settings_.mode), &status);
  }
  if (configuration != nullptr) {
    disable_dhcp(configuration);
    status = VMNET_SUCCESS;
    // Without addresses it is macOS that picks a subnet.
    if (!settings_.start.empty()) {
      struct in_addr mask = {};
      struct in_addr subnet = {};
      inet_pton(AF_INET, settings_.mask.c_str(), &mask);
      inet_pton(AF_INET, settings_.start.c_str(), &subnet);
      subnet.s_addr &= mask.s_addr;
      call = "vmnet_network_configuration_set_ipv4_subnet";
      status = set_subnet(configuration, &subnet, &mask);
    }
    if (status == VMNET_SUCCESS && !settings_.nat66_prefix.empty()) {
      struct in6_addr prefix = {};
      bool is_address = inet_pton(AF_INET6, settings_.nat66_prefix.c_str(), &prefix) == 1;
      call = "vmnet_network_configuration_set_ipv6_prefix";
      status = is_address ? set_prefix(configuration, &prefix, 64) : VMNET_INVALID_ARGUMENT;
    }
    if (status == VMNET_SUCCESS && settings_.mtu > 0) {
      call = "vmnet_network_configuration_set_mtu";
      status = set_mtu(configuration, static_cast<uint32_t>(settings_.mtu));
    }
    if (status == VMNET_SUCCESS) {
      call = "vmnet_network_create";
      network = create_network(configuration, &status);
    }
    CFRelease(configuration);
  }
  if (network == nullptr) {
    std::lock_guard<std::mutex> lock(mutex_);
    settled_ = true;
    SetState(State::kFailed, status == VMNET_SUCCESS ? 0u : static_cast<uint32_t>(status), call);
    return nullptr;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    network_ = network;
  }
  return start(network, description, events_, handler);
}

void VmnetSession::OnStarted(vmnet_return_t status, xpc_object_t parameters) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (has_completion_) return;
    has_completion_ = true;
    completion_ = status;
    if (status == VMNET_SUCCESS && parameters != nullptr) parameters_ = vmbridge::Read(parameters);
    completed_.notify_all();
  }
  Settle();
}

void VmnetSession::Settle() {
  auto self = shared_from_this();
  std::lock_guard<std::mutex> lock(mutex_);
  if (settled_ || !has_handle_ || !has_completion_) return;
  settled_ = true;
  if (interface_ == nullptr || completion_ != VMNET_SUCCESS) {
    // A handle without success is no interface: there is nothing to stop.
    interface_ = nullptr;
    SetState(State::kFailed, completion_, "vmnet_start_interface");
    return;
  }
  // From the control queue, as the calls that may take long are.
  dispatch_async(control_queue_, ^{
    vmnet_return_t status =
        vmnet_interface_set_event_callback(self->interface_, VMNET_INTERFACE_PACKETS_AVAILABLE,
                                           self->events_, ^(interface_event_t, xpc_object_t) {
                                             self->packets.Signal();
                                           });
    std::lock_guard<std::mutex> inner(self->mutex_);
    if (status == VMNET_SUCCESS && !self->abandoned_) {
      self->SetState(State::kRunning, status, "vmnet_start_interface");
      return;
    }
    self->SetState(State::kFailed, status, "vmnet_interface_set_event_callback");
    dispatch_async(self->control_queue_, ^{
      self->StopInterface();
    });
  });
}

void VmnetSession::Abandon() {
  bool is_running = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    abandoned_ = true;
    is_running = state_ == State::kRunning;
  }
  control.Close();
  packets.Close();
  if (is_running) Stop();
}

void VmnetSession::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (state_ != State::kRunning) return;
    state_ = State::kStopping;
  }
  auto self = shared_from_this();
  dispatch_async(control_queue_, ^{
    self->StopInterface();
  });
}

void VmnetSession::StopInterface() {
  auto self = shared_from_this();
  vmnet_interface_set_event_callback(interface_, VMNET_INTERFACE_PACKETS_AVAILABLE, nullptr,
                                     nullptr);
  // A fence: callbacks that were on their way are over when this runs. Then back, as an interface
  // must not be stopped from its own queue.
  dispatch_async(events_, ^{
    dispatch_async(self->control_queue_, ^{
      vmnet_return_t scheduled =
          vmnet_stop_interface(self->interface_, self->events_, ^(vmnet_return_t status) {
            std::lock_guard<std::mutex> lock(self->mutex_);
            bool ok = status == VMNET_SUCCESS;
            self->SetState(ok ? State::kStopped : State::kFailed, status, "vmnet_stop_interface");
          });
      if (scheduled == VMNET_SUCCESS) return;
      std::lock_guard<std::mutex> lock(self->mutex_);
      self->SetState(State::kFailed, scheduled, "vmnet_stop_interface");
    });
  });
}

void VmnetSession::ReleaseNetwork() {
  if (network_ != nullptr) CFRelease(network_);
  network_ = nullptr;
}

void VmnetSession::SetState(State state, uint32_t status, const char* call) {
  if (state == State::kFailed || state == State::kStopped) ReleaseNetwork();
  state_ = state;
  status_ = status;
  call_ = call;
  control.Signal();
}

vmnet_return_t VmnetSession::Read(struct vmpktdesc* packets, int* count) {
  return IsRunning() ? vmnet_read(interface_, packets, count) : VMNET_INVALID_ACCESS;
}

vmnet_return_t VmnetSession::Write(struct vmpktdesc* packets, int* count) {
  return IsRunning() ? vmnet_write(interface_, packets, count) : VMNET_INVALID_ACCESS;
}

bool VmnetSession::IsRunning() {
  std::lock_guard<std::mutex> lock(mutex_);
  return state_ == State::kRunning;
}

bool VmnetHasNetworkObjects() {
  return Find<StartWithNetworkObject>("vmnet_interface_start_with_network") != nullptr;
}

bool VmnetSharedInterfaces(std::vector<std::string>* names) {
  xpc_object_t list = vmnet_copy_shared_interface_list();
  if (list == nullptr) return false;
  for (size_t i = 0; i < xpc_array_get_count(list); i++) {
    const char* name = xpc_array_get_string(list, i);
    if (name != nullptr) names->push_back(name);
  }
  xpc_release(list);
  return true;
}

}  // namespace vmbridge

#include "interface.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "double.h"
#include "network.h"
#include "xpc.h"

using namespace vmnet_double;

namespace {

Registry& Interfaces() {
  static Registry& interfaces = *new Registry("an interface", kLiveInterfaces);
  return interfaces;
}

// The same identifier gives the same address (FNV-1a), a locally administered one.
std::string MacOf(const Uuid& id) {
  uint64_t hash = 0xcbf29ce484222325;
  for (uint8_t byte : id) hash = (hash ^ byte) * 0x100000001b3;
  uint8_t mac[6];
  memcpy(mac, &hash, sizeof mac);
  mac[0] = static_cast<uint8_t>((mac[0] & 0xfc) | 2);
  char text[18];
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
           mac[4], mac[5]);
  return text;
}

}  // namespace

vmnet_interface::vmnet_interface(const Settings& settings, const Faults& faults,
                                 dispatch_queue_t queue)
    : queue_(queue), settings_(settings), faults_(faults) {
  RetainQueue(queue);
  if (!settings_.interface_id) {
    settings_.interface_id.emplace();
    if (getrandom(settings_.interface_id->data(), settings_.interface_id->size(), 0) < 0)
      Die("getrandom: %s", strerror(errno));
  }
}

vmnet_interface* vmnet_interface::Make(const Settings& settings, const Faults& faults,
                                       dispatch_queue_t queue) {
  auto interface = new vmnet_interface(settings, faults, queue);
  Interfaces().Add(interface);
  return interface;
}

vmnet_interface* vmnet_interface::Of(interface_ref interface, const char* function) {
  Interfaces().Check(interface, function);
  return interface;
}

void vmnet_interface::SetFaults(const Faults& faults) {
  for (const void* each : Interfaces().All()) {
    auto interface = static_cast<vmnet_interface*>(const_cast<void*>(each));
    std::lock_guard<std::mutex> lock(interface->mutex_);
    interface->faults_.Overlay(faults);
    if (faults.spurious_event) interface->Post(kEvents);
  }
}

vmnet_return_t vmnet_interface::Open(xpc_object_t* parameters) {
  std::optional<Subnet> host = settings_.host;
  {
    std::unique_lock<std::mutex> lock = LockSubnets();
    if (settings_.has_pool && !settings_.pool) settings_.pool = FreePool();
    if (settings_.has_pool && !settings_.pool) return VMNET_FAILURE;
    if (settings_.pool) host = settings_.pool->gateway;
    if (host && !IsFree(*host, network.get())) return VMNET_FAILURE;
    int error = OpenTap(settings_.mtu, host, settings_.bridge, &tap_);
    // As an unprivileged process meets it before macOS 26, and since.
    if (error == EPERM || error == EACCES)
      return MacosVersion() >= 26 ? kNotAuthorized : VMNET_FAILURE;
    if (error == ENODEV || error == EINVAL) return VMNET_INVALID_ARGUMENT;
    if (error != 0) return VMNET_FAILURE;
  }
  max_packet_size_ = tap_.mtu + kEthernetHeader;
  if (MacosVersion() >= 15) {
    read_max_ = faults_.read_max.value_or(kMostPackets);
    write_max_ = faults_.write_max.value_or(kMostPackets);
  }
  if (settings_.has_dhcp) bootpd_.emplace(*settings_.pool, tap_.mac);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  reader_ = std::thread([this] { ReadTap(); });
  *parameters = Parameters();
  return VMNET_SUCCESS;
}

xpc_object_t vmnet_interface::Parameters() const {
  xpc_object_t result = xpc_dictionary_create(nullptr, nullptr, 0);
  if (settings_.allocate_mac)
    xpc_dictionary_set_string(result, vmnet_mac_address_key,
                              MacOf(*settings_.interface_id).c_str());
  xpc_dictionary_set_uint64(result, vmnet_mtu_key, tap_.mtu);
  xpc_dictionary_set_uint64(result, vmnet_max_packet_size_key, max_packet_size_);
  xpc_dictionary_set_uuid(result, vmnet_interface_id_key, settings_.interface_id->data());
  // Of an interface of a network object Apple's header does not say so: there it has to do without.
  if (settings_.pool && network == nullptr) {
    auto set = [&](const char* key, uint32_t address) {
      xpc_dictionary_set_string(result, key, FormatIpv4(address).c_str());
    };
    set(vmnet_start_address_key, settings_.pool->gateway.address);
    set(vmnet_end_address_key, settings_.pool->last);
    set(vmnet_subnet_mask_key, settings_.pool->gateway.mask);
  }
  if (MacosVersion() >= 15) {
    xpc_dictionary_set_uint64(result, vmnet_read_max_packets_key, read_max_);
    xpc_dictionary_set_uint64(result, vmnet_write_max_packets_key, write_max_);
  }
  return result;
}

void vmnet_interface::SetRunning() {
  std::lock_guard<std::mutex> lock(mutex_);
  state_ = State::kRunning;
}

void vmnet_interface::Fail() { End(); }

vmnet_return_t vmnet_interface::CheckState(const char* function) const {
  if (state_ == State::kStarting) return VMNET_SETUP_INCOMPLETE;
  if (state_ != State::kRunning) Die("%s: after vmnet_stop_interface", function);
  return VMNET_SUCCESS;
}

vmnet_return_t vmnet_interface::SetEventCallback(dispatch_queue_t queue,
                                                 vmnet_interface_event_callback_t callback) {
  auto fresh = callback == nullptr ? nullptr : std::make_shared<EventCallback>(callback);
  if (queue != nullptr) RetainQueue(queue);
  std::unique_lock<std::mutex> lock(mutex_);
  vmnet_return_t status = CheckState("vmnet_interface_set_event_callback");
  if (status != VMNET_SUCCESS) {
    lock.unlock();
    if (queue != nullptr) dispatch_release(queue);
    return status;
  }
  // One more to the callback that goes: it may be on its way while this is called.
  if (callback_ != nullptr) Post(kLateEvents);
  callback_.swap(fresh);
  if (queue != nullptr) std::swap(event_queue_, queue);
  if (callback_ != nullptr && faults_.spurious_event) Post(kEvents);
  lock.unlock();
  if (queue != nullptr) dispatch_release(queue);
  return VMNET_SUCCESS;
}

void vmnet_interface::ReadTap() {
  // Longer than any frame: what a bridge passes may have more than its MTU.
  std::vector<uint8_t> frame(size_t{1} << 16);
  struct pollfd fds[] = {{tap_.fd, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  for (;;) {
    poll(fds, 2, -1);
    if (fds[1].revents != 0) return;
    ssize_t length = read(tap_.fd, frame.data(), frame.size());
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    if (length >= 0) {
      if (!faults_.gone) Queue(frame.data(), static_cast<size_t>(length));
      continue;
    }
    // The device was deleted, by hand or with its namespace.
    faults_.gone = true;
    return;
  }
}

void vmnet_interface::Queue(const uint8_t* packet, size_t length) {
  if (packets_.size() == kQueuedPackets || length > max_packet_size_) {
    Count(kPacketsDropped);
    return;
  }
  packets_.emplace_back(packet, packet + length);
  if (is_drained_) Post(kEvents);
  is_drained_ = false;
}

void vmnet_interface::Post(Stat stat) {
  if (callback_ == nullptr) return;
  Dispatch(event_queue_, [this, callback = callback_, stat] { Deliver(callback, stat); });
}

void vmnet_interface::Deliver(const std::shared_ptr<EventCallback>& callback, Stat stat) {
  size_t waiting;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (state_ == State::kOver) return;
    waiting = packets_.size();
  }
  Count(stat);
  xpc_object_t event = xpc_dictionary_create(nullptr, nullptr, 0);
  xpc_dictionary_set_uint64(event, vmnet_estimated_packets_available_key, waiting);
  (*callback)(VMNET_INTERFACE_PACKETS_AVAILABLE, event);
  xpc_release(event);
}

vmnet_return_t vmnet_interface::BeginStop() {
  std::lock_guard<std::mutex> lock(mutex_);
  vmnet_return_t status = CheckState("vmnet_stop_interface");
  if (status != VMNET_SUCCESS) return status;
  if (IsCurrentQueue(queue_) || IsCurrentQueue(last_queue()))
    Die("vmnet_stop_interface: called on the interface's own queue");
  if (callback_ != nullptr) Die("vmnet_stop_interface: the event callback is still set");
  if (writers_ > 0) Die("vmnet_stop_interface: vmnet_write is under way");
  state_ = State::kStopping;
  return VMNET_SUCCESS;
}

void vmnet_interface::Close() {
  uint64_t one = 1;
  if (write(stop_fd_, &one, sizeof one) < 0) Die("eventfd: %s", strerror(errno));
  reader_.join();
  close(stop_fd_);
  close(tap_.fd);
}

void vmnet_interface::Finish() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    state_ = State::kOver;
    packets_.clear();
  }
  End();
}

void vmnet_interface::End() {
  Interfaces().Remove(this);
  network.reset();
  if (event_queue_ != nullptr) dispatch_release(event_queue_);
  dispatch_release(queue_);
}

// vmnet_read and vmnet_write.
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "interface.h"

using namespace vmnet_double;

namespace {

// The framework may write anything behind a packet in its buffer.
constexpr uint8_t kScribble = 0xa5;

}  // namespace

vmnet_return_t vmnet_interface::CheckRead(const struct vmpktdesc* packets, int count) const {
  size_t total = 0;
  for (int i = 0; i < count; i++) {
    const struct vmpktdesc& packet = packets[i];
    if (packet.vm_flags != 0 || packet.vm_pkt_iovcnt != 1) return VMNET_INVALID_ARGUMENT;
    if (packet.vm_pkt_size < max_packet_size_) return VMNET_INVALID_ARGUMENT;
    if (packet.vm_pkt_iov[0].iov_len < packet.vm_pkt_size) return VMNET_INVALID_ARGUMENT;
    total += packet.vm_pkt_size;
  }
  return total > kMostBytes ? VMNET_TOO_MANY_PACKETS : VMNET_SUCCESS;
}

vmnet_return_t vmnet_interface::Read(struct vmpktdesc* packets, int* count) {
  std::lock_guard<std::mutex> lock(mutex_);
  vmnet_return_t status = CheckState("vmnet_read");
  if (status != VMNET_SUCCESS) return status;
  Count(kReads);
  if (faults_.gone) return VMNET_FAILURE;
  if (faults_.read_status) return static_cast<vmnet_return_t>(*faults_.read_status);
  if (*count <= 0) return VMNET_INVALID_ARGUMENT;
  if (static_cast<uint32_t>(*count) > read_max_) return VMNET_TOO_MANY_PACKETS;
  status = CheckRead(packets, *count);
  if (status != VMNET_SUCCESS) return status;

  int taken = std::min(*count, static_cast<int>(packets_.size()));
  for (int i = 0; i < *count; i++) {
    struct iovec* buffer = packets[i].vm_pkt_iov;
    size_t length = 0;
    if (i < taken) {
      auto bytes = static_cast<uint8_t*>(buffer->iov_base);
      length = packets_.front().size();
      memcpy(bytes, packets_.front().data(), length);
      memset(bytes + length, kScribble, buffer->iov_len - length);
      packets_.pop_front();
    }
    packets[i].vm_pkt_size = length;
    buffer->iov_len = length;
  }
  *count = taken;
  if (taken == 0) is_drained_ = true;
  Count(taken == 0 ? kEmptyReads : kPacketsRead, taken == 0 ? 1 : taken);
  CountLargest(kLargestRead, taken);
  return VMNET_SUCCESS;
}

vmnet_return_t vmnet_interface::CheckWrite(const struct vmpktdesc* packets, int count) const {
  size_t total = 0;
  for (int i = 0; i < count; i++) {
    const struct vmpktdesc& packet = packets[i];
    if (packet.vm_flags != 0 || packet.vm_pkt_iovcnt != 1) return VMNET_INVALID_ARGUMENT;
    if (packet.vm_pkt_iov[0].iov_len != packet.vm_pkt_size) return VMNET_INVALID_ARGUMENT;
    if (packet.vm_pkt_size < kEthernetHeader) return VMNET_INVALID_ARGUMENT;
    if (packet.vm_pkt_size > max_packet_size_) return VMNET_PACKET_TOO_BIG;
    total += packet.vm_pkt_size;
  }
  return total > kMostBytes ? VMNET_TOO_MANY_PACKETS : VMNET_SUCCESS;
}

vmnet_return_t vmnet_interface::Write(struct vmpktdesc* packets, int* count) {
  bool is_exhausted = false;
  int wanted = *count;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    vmnet_return_t status = CheckState("vmnet_write");
    if (status != VMNET_SUCCESS) return status;
    Count(kWrites);
    if (faults_.gone) return VMNET_FAILURE;
    if (faults_.write_status) return static_cast<vmnet_return_t>(*faults_.write_status);
    if (*count <= 0) return VMNET_INVALID_ARGUMENT;
    if (static_cast<uint32_t>(*count) > write_max_) return VMNET_TOO_MANY_PACKETS;
    status = CheckWrite(packets, *count);
    if (status != VMNET_SUCCESS) return status;
    if (faults_.short_write) wanted = std::min(wanted, static_cast<int>(*faults_.short_write));
    if (faults_.exhausted.value_or(0) > 0) {
      --*faults_.exhausted;
      is_exhausted = true;
      wanted /= 2;
    }
    writers_++;
  }
  int written = WriteTap(packets, wanted);
  std::lock_guard<std::mutex> lock(mutex_);
  writers_--;
  if (faults_.gone) return VMNET_FAILURE;
  Count(kPacketsWritten, written);
  CountLargest(kLargestWrite, written);
  *count = written;
  return is_exhausted || written < wanted ? VMNET_BUFFER_EXHAUSTED : VMNET_SUCCESS;
}

int vmnet_interface::WriteTap(const struct vmpktdesc* packets, int count) {
  for (int i = 0; i < count; i++) {
    auto frame = static_cast<const uint8_t*>(packets[i].vm_pkt_iov[0].iov_base);
    size_t length = packets[i].vm_pkt_size;
    ssize_t written = write(tap_.fd, frame, length);
    if (written < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) return i;
    std::lock_guard<std::mutex> lock(mutex_);
    // A TAP that is down (EIO) loses its frames, as a cable that is not there.
    if (written < 0 && errno == EBADFD) faults_.gone = true;
    std::vector<uint8_t> answer;
    if (bootpd_) answer = bootpd_->Answer(frame, length);
    if (!answer.empty()) Queue(answer.data(), answer.size());
  }
  return count;
}

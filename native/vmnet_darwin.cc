#include "vmnet_darwin.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "counters.h"

namespace vmbridge {

namespace {

// What a call takes at most: vmnet allows 200 packets and 256 KB; above 128 nothing is gained
// (vmnet-helper measured it).
constexpr int kMaxBatch = 128;
constexpr size_t kMaxBatchBytes = 256 * 1024;
constexpr size_t kShortestFrame = 14;

// Full buffers: pauses of 50 us, and ten of them for all that one run sends, as vmnet-helper has
// found to be enough.
constexpr int kRetries = 10;
constexpr struct timespec kPause = {0, 50 * 1000};

}  // namespace

Napi::Function VmnetIo::Define(Napi::Env env) {
  return DefineClass(
      env, "VmnetIo",
      {InstanceMethod("transmit", &VmnetIo::Transmit), InstanceMethod("close", &VmnetIo::Close),
       InstanceMethod("check", &VmnetIo::Check), InstanceMethod("slot", &VmnetIo::Slot),
       InstanceMethod("slotBytes", &VmnetIo::SlotBytes)});
}

VmnetIo::VmnetIo(const Napi::CallbackInfo& info) : Napi::ObjectWrap<VmnetIo>(info) {
  std::shared_ptr<VmnetSession> session = VmnetInterface::Of(info[0]);
  int fd = session == nullptr || session->report().state != VmnetSession::State::kRunning
               ? -1
               : session->packets.TakeReadEnd();
  if (fd < 0) {
    Napi::TypeError::New(info.Env(), "expected a VmnetInterface that runs and has no VmnetIo yet")
        .ThrowAsJavaScriptException();
    return;
  }
  VmnetParameters parameters = session->parameters();
  max_packet_ = static_cast<size_t>(parameters.max_packet_size);
  slot_bytes_ = kLengthBytes + max_packet_;
  OpenOn(fd, info);
  if (!open()) {
    close(fd);
    return;
  }
  if (max_packet_ < kShortestFrame || max_packet_ > kMaxFrame || slot_bytes_ > run_capacity_) {
    Release();
    Napi::RangeError::New(info.Env(), "the largest packet of the interface does not fit the run")
        .ThrowAsJavaScriptException();
    return;
  }
  session_ = session;
  auto batch = [this](uint64_t announced) {
    size_t packets = announced == 0 ? kMaxBatch : std::min<uint64_t>(announced, kMaxBatch);
    return static_cast<int>(std::min(packets, kMaxBatchBytes / max_packet_));
  };
  read_batch_ =
      std::min(batch(parameters.read_max_packets), static_cast<int>(run_capacity_ / slot_bytes_));
  write_batch_ = batch(parameters.write_max_packets);
  size_t most = static_cast<size_t>(std::max(read_batch_, write_batch_));
  packets_.resize(most);
  buffers_.resize(most);
  for (size_t i = 0; i < most; i++) packets_[i].vm_pkt_iov = &buffers_[i];
  // Packets that came before anybody could read them.
  session_->packets.Signal();
}

VmnetIo::~VmnetIo() { Release(); }

void VmnetIo::OnRelease() {
  if (session_ != nullptr) session_->packets.Close();
  session_ = nullptr;
}

void VmnetIo::Check(const Napi::CallbackInfo&) {
  if (session_ != nullptr) session_->packets.Signal();
}

Napi::Value VmnetIo::SlotBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(slot_bytes_));
}

int VmnetIo::Receive() {
  for (int i = 0; i < read_batch_; i++) {
    // The framework overwrites both with what it read.
    buffers_[i].iov_base = run_ + static_cast<size_t>(i) * slot_bytes_ + kLengthBytes;
    buffers_[i].iov_len = max_packet_;
    packets_[i].vm_pkt_size = max_packet_;
    packets_[i].vm_pkt_iovcnt = 1;
    packets_[i].vm_flags = 0;
  }
  int count = read_batch_;
  status_ = session_->Read(packets_.data(), &count);
  if (status_ != VMNET_SUCCESS) return -1;
  count = std::clamp(count, 0, read_batch_);
  for (int i = 0; i < count; i++) {
    size_t size = packets_[i].vm_pkt_size;
    // A size that cannot be becomes a runt, which the switch drops and counts.
    bool is_frame = size > 0 && size <= max_packet_;
    PutFrameLength(run_ + static_cast<size_t>(i) * slot_bytes_,
                   is_frame ? static_cast<uint32_t>(size) : 1);
  }
  return count;
}

void VmnetIo::OnReady(int, bool) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  int count = status_ == VMNET_SUCCESS ? Receive() : -1;
  if (count == 0) {
    // Whether the next packet is announced is only sure once a read has found none, after the last
    // announcement was taken. Until then the pipe stays readable, and this is called again without
    // another system call.
    session_->packets.Drain(fd_);
    count = Receive();
    if (count > 0) session_->packets.Signal();
  }
  if (count > 0) {
    Walk(env, static_cast<size_t>(count) * slot_bytes_);
  } else if (count < 0) {
    End(env, std::to_string(status_).c_str());
  }
}

int VmnetIo::Write(int count, int* retries) {
  int written = 0;
  while (written < count) {
    int taken = count - written;
    vmnet_return_t status = session_->Write(packets_.data() + written, &taken);
    if (status == VMNET_SUCCESS || status == VMNET_BUFFER_EXHAUSTED) {
      // Full buffers with the count as it was: none were taken.
      if (status == VMNET_BUFFER_EXHAUSTED && taken == count - written) taken = 0;
      taken = std::clamp(taken, 0, count - written);
      written += taken;
      if (taken > 0) exhausted_ = false;
      if (written == count) break;
      if (taken > 0) continue;
      if (exhausted_ || *retries == 0) {
        exhausted_ = true;
        break;
      }
      --*retries;
      nanosleep(&kPause, nullptr);
      continue;
    }
    bool of_this_batch = status == VMNET_INVALID_ARGUMENT || status == VMNET_PACKET_TOO_BIG ||
                         status == VMNET_TOO_MANY_PACKETS || status == VMNET_MEM_FAILURE;
    if (!of_this_batch) {
      // The interface is gone: said from the loop, since this may be in the midst of another port's
      // run.
      status_ = status;
      session_->packets.Signal();
    }
    return -1 - written;
  }
  return written;
}

void VmnetIo::Send(const uint8_t* run, int count, int64_t frames) {
  if (!open() || status_ != VMNET_SUCCESS) {
    Count(kDropTxDown, frames);
    return;
  }
  int64_t sent = 0;
  int64_t bytes = 0;
  int64_t full = 0;
  int retries = kRetries;
  int filled = 0;
  size_t filled_bytes = 0;
  auto flush = [&] {
    int written = filled == 0 ? 0 : Write(filled, &retries);
    if (written < 0)
      written = -1 - written;  // what is left counts as errors
    else
      full += filled - written;
    for (int i = 0; i < written; i++) bytes += static_cast<int64_t>(packets_[i].vm_pkt_size);
    sent += written;
    filled = 0;
    filled_bytes = 0;
  };
  for (int i = 0; i < count && status_ == VMNET_SUCCESS; i++) {
    const uint8_t* at = run + stretches_[i].offset;
    const uint8_t* end = at + stretches_[i].length;
    while (at < end) {
      size_t length = FrameLength(at);
      // One such packet would cost the whole batch.
      if (length >= kShortestFrame && length <= max_packet_) {
        if (filled == write_batch_ || filled_bytes + length > kMaxBatchBytes) flush();
        buffers_[filled].iov_base = const_cast<uint8_t*>(at + kLengthBytes);
        buffers_[filled].iov_len = length;
        packets_[filled].vm_pkt_size = length;
        packets_[filled].vm_pkt_iovcnt = 1;
        packets_[filled].vm_flags = 0;
        filled++;
        filled_bytes += length;
      }
      at += kLengthBytes + length;
    }
  }
  flush();
  Count(kTxFrames, sent);
  Count(kTxBytes, bytes);
  Count(kDropTxFull, full);
  Count(kDropTxError, frames - sent - full);
}

}  // namespace vmbridge

#include "bootpd.h"

#include <string.h>

#include <algorithm>

#include "double.h"

namespace vmnet_double {

namespace {

// Offsets in a frame whose IPv4 header has no options, as DHCP clients send it.
constexpr size_t kIp = 14;
constexpr size_t kUdp = kIp + 20;
constexpr size_t kDhcp = kUdp + 8;
constexpr size_t kXid = kDhcp + 4;
constexpr size_t kYourAddress = kDhcp + 16;
constexpr size_t kClientMac = kDhcp + 28;
constexpr size_t kCookie = kDhcp + 236;
constexpr size_t kOptions = kCookie + 4;
constexpr uint8_t kMagic[] = {0x63, 0x82, 0x53, 0x63};
constexpr uint8_t kDiscover = 1, kOffer = 2, kRequest = 3, kAck = 5;
constexpr uint32_t kLeaseSeconds = 3600;

void Put32(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

void Put16(uint8_t* at, size_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

bool IsDhcpRequest(const uint8_t* frame, size_t length) {
  return length > kOptions && frame[12] == 8 && frame[13] == 0 && frame[kIp] == 0x45 &&
         frame[kIp + 9] == 17 && frame[kUdp + 2] == 0 && frame[kUdp + 3] == 67 &&
         frame[kDhcp] == 1 && memcmp(frame + kCookie, kMagic, sizeof kMagic) == 0;
}

uint8_t MessageType(const uint8_t* frame, size_t length) {
  for (size_t at = kOptions; at + 2 < length && frame[at] != 255;) {
    if (frame[at] == 53) return frame[at + 2];
    at += frame[at] == 0 ? 1 : 2 + size_t{frame[at + 1]};
  }
  return 0;
}

void PutIpChecksum(uint8_t* header) {
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += static_cast<uint32_t>(header[i] << 8 | header[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  Put16(header + 10, ~sum & 0xffff);
}

}  // namespace

Bootpd::Bootpd(const Pool& pool, const uint8_t (&mac)[6]) : pool_(pool) {
  std::copy(std::begin(mac), std::end(mac), mac_.begin());
}

uint32_t Bootpd::AddressFor(const Mac& mac) {
  auto found = leases_.find(mac);
  if (found != leases_.end()) return found->second;
  uint32_t address = pool_.gateway.address + 1 + static_cast<uint32_t>(leases_.size());
  if (address > pool_.last) return 0;
  leases_[mac] = address;
  return address;
}

std::vector<uint8_t> Bootpd::Answer(const uint8_t* frame, size_t length) {
  if (!IsDhcpRequest(frame, length)) return {};
  Count(kDhcpHeard);
  uint8_t type = MessageType(frame, length);
  if (type != kDiscover && type != kRequest) return {};
  Mac client;
  memcpy(client.data(), frame + kClientMac, client.size());
  uint32_t address = AddressFor(client);
  if (address == 0) return {};
  Count(kDhcpAnswered);

  std::vector<uint8_t> reply(kOptions, 0);
  memset(reply.data(), 0xff, 6);
  memcpy(&reply[6], mac_.data(), mac_.size());
  reply[12] = 8;
  memcpy(&reply[kDhcp], frame + kDhcp, 4);
  reply[kDhcp] = 2;
  memcpy(&reply[kXid], frame + kXid, 4);
  Put32(&reply[kYourAddress], address);
  memcpy(&reply[kClientMac], client.data(), client.size());
  memcpy(&reply[kCookie], kMagic, sizeof kMagic);
  auto option = [&](uint8_t code, uint32_t value) {
    reply.insert(reply.end(), {code, 4, 0, 0, 0, 0});
    Put32(&reply[reply.size() - 4], value);
  };
  reply.insert(reply.end(), {53, 1, type == kDiscover ? kOffer : kAck});
  option(54, pool_.gateway.address);
  option(51, kLeaseSeconds);
  option(1, pool_.gateway.mask);
  option(3, pool_.gateway.address);
  option(6, pool_.gateway.address);
  reply.push_back(255);

  reply[kIp] = 0x45;
  Put16(&reply[kIp + 2], reply.size() - kIp);
  reply[kIp + 8] = 64;
  reply[kIp + 9] = 17;
  Put32(&reply[kIp + 12], pool_.gateway.address);
  Put32(&reply[kIp + 16], ~uint32_t{0});
  PutIpChecksum(&reply[kIp]);
  Put16(&reply[kUdp], 67);
  Put16(&reply[kUdp + 2], 68);
  Put16(&reply[kUdp + 4], reply.size() - kUdp);  // no checksum: IPv4 allows that
  return reply;
}

}  // namespace vmnet_double

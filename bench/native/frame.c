// The frames of the load. They are what a guest sends: announcements are gratuitous ARPs (42 bytes,
// a guest does not pad), data are TCP segments in IPv4, so that a switch which looks deeper into
// some frames than into others, for DHCP say, is charged what a VM's traffic would charge it.
//
//   0   6  destination MAC        MACs are 02:76:6d:00:00:PORT
//   6   6  source MAC
//  12   2  0x0800
//  14  20  IPv4, DF, protocol 6   addresses 198.18.0.PORT (RFC 2544's range for benchmarks)
//  34  20  TCP
//  54   8  sequence number, big-endian
//  62      padding
//
// The IPv4 checksum is right, the TCP checksum is zero as with checksum offload.
#include <string.h>

#include "loadgen.h"

enum { ETHERTYPE_AT = 12, IP_AT = 14, TCP_AT = 34, SEQUENCE_AT = 54 };

static const uint8_t mac_prefix[MAC_BYTES - 1] = {0x02, 0x76, 0x6d, 0, 0};

static void put_u16(uint8_t* at, uint16_t value) {
  at[0] = value >> 8;
  at[1] = value;
}

void put_u32(uint8_t* at, uint32_t value) {
  put_u16(at, value >> 16);
  put_u16(at + 2, value);
}

static void put_mac(uint8_t* at, int port) {
  memcpy(at, mac_prefix, sizeof mac_prefix);
  at[5] = port;
}

static void put_ip(uint8_t* at, int port) { put_u32(at, 0xc6120000u | (uint32_t)(port + 1)); }

static uint16_t ip_checksum(const uint8_t* header) {
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += header[i] << 8 | header[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

void frame_announce(uint8_t* frame, int port) {
  memset(frame, 0, ANNOUNCE_BYTES);
  memset(frame, 0xff, MAC_BYTES);
  put_mac(frame + 6, port);
  put_u16(frame + ETHERTYPE_AT, 0x0806);
  put_u16(frame + 14, 1);       // hardware: Ethernet
  put_u16(frame + 16, 0x0800);  // protocol: IPv4
  frame[18] = MAC_BYTES;
  frame[19] = 4;
  put_u16(frame + 20, 1);  // a request, for its own address: RFC 5227's announcement
  put_mac(frame + 22, port);
  put_ip(frame + 28, port);
  put_ip(frame + 38, port);
}

void frame_data(uint8_t* frame, size_t length, int from, int to) {
  memset(frame, 0x5a, length);
  memset(frame + IP_AT, 0, SEQUENCE_AT - IP_AT);
  put_mac(frame, to);
  put_mac(frame + 6, from);
  put_u16(frame + ETHERTYPE_AT, 0x0800);
  uint8_t* ip = frame + IP_AT;
  ip[0] = 0x45;
  put_u16(ip + 2, length - IP_AT);
  put_u16(ip + 6, 0x4000);
  ip[8] = 64;
  ip[9] = 6;
  put_ip(ip + 12, from);
  put_ip(ip + 16, to);
  put_u16(ip + 10, ip_checksum(ip));
  uint8_t* tcp = frame + TCP_AT;
  put_u16(tcp, 49152);
  put_u16(tcp + 2, 5001);
  tcp[12] = 5 << 4;
  tcp[13] = 0x10;  // ACK
  put_u16(tcp + 14, 0xffff);
}

void frame_stamp(uint8_t* frame, uint64_t sequence) {
  sequence = __builtin_bswap64(sequence);
  memcpy(frame + SEQUENCE_AT, &sequence, sizeof sequence);
}

struct frame_view frame_read(const uint8_t* frame, size_t length) {
  static const uint8_t broadcast[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  struct frame_view view = {.kind = FRAME_FOREIGN, .from = -1, .to = -1};
  if (length < ANNOUNCE_BYTES || memcmp(frame + 6, mac_prefix, sizeof mac_prefix) != 0) return view;
  view.from = frame[11];
  if (memcmp(frame, broadcast, MAC_BYTES) == 0) {
    view.kind = FRAME_ANNOUNCE;
  } else if (length >= MIN_DATA_BYTES && memcmp(frame, mac_prefix, sizeof mac_prefix) == 0) {
    view.kind = FRAME_DATA;
    view.to = frame[5];
    memcpy(&view.sequence, frame + SEQUENCE_AT, sizeof view.sequence);
    view.sequence = __builtin_bswap64(view.sequence);
  }
  return view;
}

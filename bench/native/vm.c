// A VM as a switch meets it: the kernel of this network namespace stands for the guest, a TAP for
// its NIC, and this program for QEMU.
//
//   vm SOCKET DEVICE MAC
//
// Frames go over SOCKET as QEMU's stream netdev has them: one send a frame, with its 32-bit
// big-endian length in front; what comes is read as link_stream.c says. While the socket has no
// room nothing is taken from the TAP. It prints a line when the device is there and the socket
// connected, and fails when the server closes. A guest that hangs is this program stopped.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loadgen.h"

enum { LARGEST_FRAME = 65536 };

// What is to be sent and not yet taken: bytes [start, end).
static struct {
  size_t start, end;
  uint8_t bytes[LENGTH_BYTES + LARGEST_FRAME];
} outgoing;

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("vm: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(1);
}

static int open_tap(const char* device, const char* mac) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail("%s: %s", device, strerror(errno));
  unsigned octets[MAC_BYTES];
  if (sscanf(mac, "%x:%x:%x:%x:%x:%x", &octets[0], &octets[1], &octets[2], &octets[3], &octets[4],
             &octets[5]) != MAC_BYTES)
    fail("%s is no MAC address", mac);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  for (int i = 0; i < MAC_BYTES; i++) request.ifr_hwaddr.sa_data[i] = (char)octets[i];
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0 || ioctl(control, SIOCSIFHWADDR, &request) < 0)
    fail("%s: %s", mac, strerror(errno));
  close(control);
  return fd;
}

static void send_on(struct link* link) {
  size_t left = outgoing.end - outgoing.start;
  outgoing.start += link_send_some(link, outgoing.bytes + outgoing.start, left);
}

static void take_from_guest(int tap, struct link* link) {
  ssize_t length = read(tap, outgoing.bytes + LENGTH_BYTES, LARGEST_FRAME);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length < 0) fail("the device is gone: %s", strerror(errno));
  put_u32(outgoing.bytes, (uint32_t)length);
  outgoing.start = 0;
  outgoing.end = LENGTH_BYTES + (size_t)length;
  send_on(link);
}

// What the guest's kernel has no room for, or gets while the device is down, is lost, as on a NIC.
static void give_to_guest(void* tap, const uint8_t* frame, size_t length) {
  if (write(*(int*)tap, frame, length) < 0 && errno == EBADFD) fail("the device is gone");
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: vm SOCKET DEVICE MAC\n");
    return 2;
  }
  int tap = open_tap(argv[2], argv[3]);
  struct link link;
  link_open(&link, argv[1]);
  puts("ready");
  fflush(stdout);
  for (;;) {
    bool is_full = outgoing.start < outgoing.end;
    struct pollfd ends[2] = {
        {.fd = link.fd, .events = POLLIN | (is_full ? POLLOUT : 0)},
        {.fd = is_full ? -1 : tap, .events = POLLIN},
    };
    if (poll(ends, 2, -1) < 0 && errno != EINTR) fail("poll: %s", strerror(errno));
    if (ends[0].revents & POLLOUT) send_on(&link);
    if (ends[0].revents & ~POLLOUT) link_receive(&link, false, give_to_guest, &tap);
    if (ends[1].revents) take_from_guest(tap, &link);
  }
}

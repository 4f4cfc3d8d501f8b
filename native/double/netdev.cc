#include "netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_bridge.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace vmnet_double {

namespace {

constexpr int kMostBridges = 256;

uint32_t AddressOf(const struct sockaddr* address) {
  struct sockaddr_in in;
  memcpy(&in, address, sizeof in);
  return ntohl(in.sin_addr.s_addr);
}

bool SetAddress(int control, unsigned long call, struct ifreq* request, uint32_t address) {
  struct sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  memcpy(&request->ifr_addr, &in, sizeof in);
  return ioctl(control, call, request) == 0;
}

bool JoinBridge(int control, const std::string& bridge, const char* tap, uint32_t* mtu) {
  std::vector<std::string> bridges = Bridges();
  if (std::find(bridges.begin(), bridges.end(), bridge) == bridges.end()) {
    errno = ENODEV;
    return false;
  }
  struct ifreq request = {};
  bridge.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(control, SIOCGIFMTU, &request) != 0) return false;
  *mtu = static_cast<uint32_t>(request.ifr_mtu);
  request.ifr_ifindex = static_cast<int>(if_nametoindex(tap));
  return ioctl(control, SIOCBRADDIF, &request) == 0;
}

bool Configure(int control, uint32_t mtu, const std::optional<Subnet>& host,
               const std::string& bridge, struct ifreq* request, Tap* tap) {
  tap->mtu = mtu;
  if (!bridge.empty() && !JoinBridge(control, bridge, request->ifr_name, &tap->mtu)) return false;
  request->ifr_mtu = static_cast<int>(tap->mtu);
  if (ioctl(control, SIOCSIFMTU, request) != 0) return false;
  if (host) {
    uint32_t broadcast = host->address | ~host->mask;
    if (!SetAddress(control, SIOCSIFADDR, request, host->address) ||
        !SetAddress(control, SIOCSIFNETMASK, request, host->mask) ||
        !SetAddress(control, SIOCSIFBRDADDR, request, broadcast))
      return false;
  }
  if (ioctl(control, SIOCGIFHWADDR, request) != 0) return false;
  memcpy(tap->mac, request->ifr_hwaddr.sa_data, sizeof tap->mac);
  if (ioctl(control, SIOCGIFFLAGS, request) != 0) return false;
  request->ifr_flags |= IFF_UP;
  return ioctl(control, SIOCSIFFLAGS, request) == 0;
}

}  // namespace

std::optional<uint32_t> ParseIpv4(const std::string& text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string FormatIpv4(uint32_t address) {
  struct in_addr in = {htonl(address)};
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &in, text, sizeof text);
}

std::vector<Subnet> LocalSubnets() {
  std::vector<Subnet> subnets;
  struct ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return subnets;
  for (struct ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_netmask == nullptr) continue;
    if (each->ifa_addr->sa_family != AF_INET || (each->ifa_flags & IFF_LOOPBACK) != 0) continue;
    subnets.push_back({AddressOf(each->ifa_addr), AddressOf(each->ifa_netmask)});
  }
  freeifaddrs(list);
  return subnets;
}

std::vector<std::string> Bridges() {
  std::vector<std::string> names;
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int indices[kMostBridges];
  unsigned long arguments[] = {BRCTL_GET_BRIDGES, reinterpret_cast<unsigned long>(indices),
                               kMostBridges};
  int count = control < 0 ? 0 : ioctl(control, SIOCGIFBR, arguments);
  for (int i = 0; i < count; i++) {
    char name[IFNAMSIZ];
    if (if_indextoname(static_cast<unsigned>(indices[i]), name) != nullptr) names.push_back(name);
  }
  if (control >= 0) close(control);
  return names;
}

int OpenTap(uint32_t mtu, const std::optional<Subnet>& host, const std::string& bridge, Tap* tap) {
  const char* wanted = getenv("VMNET_DOUBLE_TAP");
  if (wanted == nullptr) wanted = "vmnet%d";
  struct ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  strncpy(request.ifr_name, wanted, IFNAMSIZ - 1);
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  bool made = control >= 0 && fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0 &&
              Configure(control, mtu, host, bridge, &request, tap);
  int error = made ? 0 : errno;
  if (control >= 0) close(control);
  if (made) {
    tap->fd = fd;
    tap->name = request.ifr_name;
  } else if (fd >= 0) {
    close(fd);
  }
  return error;
}

}  // namespace vmnet_double

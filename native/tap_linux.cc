#include "tap_linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "counters.h"
#include "uv_api.h"

namespace vmbridge {

namespace {

// Frames of one read turn: a TAP gives one a system call, and other ports wait meanwhile.
constexpr int kFramesPerTurn = 64;

// What a TAP for another namespace is called until it is there.
constexpr char kPassingName[] = "vmbplug%d";

// Closes a descriptor at the end of the scope, unless it was taken.
class ScopedFd {
 public:
  explicit ScopedFd(int fd) : fd_(fd) {}
  ~ScopedFd() {
    if (fd_ >= 0) close(fd_);
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;
  int get() const { return fd_; }
  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int Take() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

// Puts the calling thread into another network namespace and back at the end of the scope. A
// namespace is a thread's property, so uv's own threads do not notice.
class ScopedNetns {
 public:
  ~ScopedNetns() {
    if (home_ < 0) return;
    // Not to come back would move every later socket of this thread: better to stop.
    if (setns(home_, CLONE_NEWNET) != 0) abort();
    close(home_);
  }
  bool Enter(int target) {
    ScopedFd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (home.get() < 0 || setns(target, CLONE_NEWNET) != 0) return false;
    home_ = home.Take();
    return true;
  }

 private:
  int home_ = -1;
};

struct TapSettings {
  std::string name;
  std::string netns;
  int mtu = 1500;
  bool has_address = false;
  uint32_t address = 0;
  int prefix = 24;
  bool has_mac = false;
  uint8_t mac[6];
  std::string bridge;
  // Of a device that was there before, and stays when it is closed (TUNSETPERSIST): how it was.
  bool stays = false;
  bool was_up = false;
  uint32_t former_address = 0;
  uint32_t former_mask = 0;
};

void SetAddress(struct ifreq* request, uint32_t host_order) {
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(host_order);
  memcpy(&request->ifr_addr, &address, sizeof address);
}

// Moves a device into another network namespace, under the name it is to have there (rtnetlink(7)).
// False with errno, EEXIST when the name is taken.
bool MoveToNetns(int index, int netns, const std::string& name) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr netns_attribute;
    uint32_t netns;
    struct rtattr name_attribute;
    char name[IFNAMSIZ];
  } request = {};
  static_assert(sizeof request ==
                NLMSG_SPACE(sizeof(struct ifinfomsg)) + RTA_SPACE(4) + RTA_SPACE(IFNAMSIZ));
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.link.ifi_index = index;
  request.netns_attribute = {RTA_LENGTH(4), IFLA_NET_NS_FD};
  request.netns = static_cast<uint32_t>(netns);
  request.name_attribute = {RTA_LENGTH(IFNAMSIZ), IFLA_IFNAME};
  memcpy(request.name, name.c_str(), name.size());

  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char echo[sizeof request];
  } answer = {};
  ScopedFd link(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (link.get() < 0 || send(link.get(), &request, sizeof request, 0) < 0 ||
      recv(link.get(), &answer, sizeof answer, 0) < 0) {
    return false;
  }
  errno = -answer.error.error;
  return answer.error.error == 0;
}

// Keeps the kernel from giving a device an IPv6 address of its own when it comes up: VMs would hear
// a station that is none (rtnetlink(7); IN6_ADDR_GEN_MODE_NONE of linux/if_link.h). A kernel
// without IPv6 refuses, and has nothing to keep from.
void ForgoIpv6(int index) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr families;
    struct rtattr family;
    struct rtattr mode;
    uint8_t value;
    uint8_t padding[3];
  } request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.link.ifi_index = index;
  request.mode = {RTA_LENGTH(1), IFLA_INET6_ADDR_GEN_MODE};
  request.value = IN6_ADDR_GEN_MODE_NONE;
  request.family = {RTA_LENGTH(RTA_SPACE(1)), AF_INET6};
  request.families = {RTA_LENGTH(RTA_SPACE(RTA_SPACE(1))), IFLA_AF_SPEC};
  static_assert(sizeof request ==
                NLMSG_SPACE(sizeof(struct ifinfomsg)) + RTA_SPACE(RTA_SPACE(RTA_SPACE(1))));
  ScopedFd link(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (link.get() >= 0) (void)!send(link.get(), &request, sizeof request, 0);
}

// The request's device becomes a port of the bridge, with the bridge's MTU: a port with a lower one
// would lower the bridge's.
const char* JoinBridge(int control, const std::string& bridge, struct ifreq* request) {
  struct ifreq joined = {};
  memcpy(joined.ifr_name, bridge.c_str(), bridge.size());
  if (ioctl(control, SIOCGIFMTU, &joined) != 0) return "find the bridge";
  request->ifr_mtu = joined.ifr_mtu;
  if (ioctl(control, SIOCSIFMTU, request) != 0) return "set the MTU";
  if (ioctl(control, SIOCGIFINDEX, request) != 0) return "find the TAP";
  ForgoIpv6(request->ifr_ifindex);
  joined.ifr_ifindex = request->ifr_ifindex;
  if (ioctl(control, SIOCBRADDIF, &joined) != 0) return "join the bridge";
  return nullptr;
}

// By SIOCGIFADDR or SIOCGIFNETMASK; 0 where it has none.
uint32_t AddressOf(int control, struct ifreq* request, unsigned long what = SIOCGIFADDR) {
  if (ioctl(control, what, request) != 0) return 0;
  struct sockaddr_in address;
  memcpy(&address, &request->ifr_addr, sizeof address);
  return ntohl(address.sin_addr.s_addr);
}

void Remember(int tap, int control, TapSettings* settings, struct ifreq* request) {
  struct ifreq state = *request;
  if (ioctl(tap, TUNGETIFF, &state) != 0 || !(state.ifr_flags & IFF_PERSIST)) return;
  settings->stays = true;
  settings->former_address = AddressOf(control, &state);
  settings->former_mask = AddressOf(control, &state, SIOCGIFNETMASK);
  if (ioctl(control, SIOCGIFFLAGS, &state) == 0) settings->was_up = state.ifr_flags & IFF_UP;
}

// Sets the device up with the ioctls that `ip` would replace by netlink; each step that fails names
// itself.
const char* Configure(int control, TapSettings* settings, struct ifreq* request) {
  if (settings->has_mac) {
    request->ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request->ifr_hwaddr.sa_data, settings->mac, 6);
    if (ioctl(control, SIOCSIFHWADDR, request) != 0) return "set the MAC address";
  }
  request->ifr_mtu = settings->mtu;
  if (ioctl(control, SIOCSIFMTU, request) != 0) return "set the MTU";
  if (!settings->bridge.empty()) {
    const char* failed = JoinBridge(control, settings->bridge, request);
    if (failed != nullptr) return failed;
  }
  if (settings->has_address) {
    uint32_t mask = settings->prefix == 0 ? 0 : ~uint32_t{0} << (32 - settings->prefix);
    SetAddress(request, settings->address);
    if (ioctl(control, SIOCSIFADDR, request) != 0) return "set the address";
    SetAddress(request, mask);
    if (ioctl(control, SIOCSIFNETMASK, request) != 0) return "set the netmask";
    SetAddress(request, (settings->address & mask) | ~mask);
    if (ioctl(control, SIOCSIFBRDADDR, request) != 0) return "set the broadcast address";
  }
  if (ioctl(control, SIOCGIFFLAGS, request) != 0) return "read the flags";
  request->ifr_flags |= IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, request) != 0) return "bring it up";
  if (ioctl(control, SIOCGIFMTU, request) != 0) return "read the MTU";
  settings->mtu = request->ifr_mtu;
  if (ioctl(control, SIOCGIFHWADDR, request) != 0) return "read the MAC address";
  return nullptr;
}

bool ReadSettings(const Napi::Object& options, TapSettings* settings) {
  settings->name = options.Get("name").ToString().Utf8Value();
  settings->mtu = options.Get("mtu").ToNumber().Int32Value();
  Napi::Value netns = options.Get("netns");
  if (netns.IsString()) settings->netns = netns.As<Napi::String>().Utf8Value();
  Napi::Value address = options.Get("address");
  if (address.IsNumber()) {
    settings->has_address = true;
    settings->address = address.As<Napi::Number>().Uint32Value();
    settings->prefix = options.Get("prefix").ToNumber().Int32Value();
  }
  Napi::Value mac = options.Get("mac");
  if (mac.IsTypedArray() && mac.As<Napi::Uint8Array>().ByteLength() == 6) {
    settings->has_mac = true;
    memcpy(settings->mac, mac.As<Napi::Uint8Array>().Data(), 6);
  }
  Napi::Value bridge = options.Get("bridge");
  if (bridge.IsString()) settings->bridge = bridge.As<Napi::String>().Utf8Value();
  return !settings->name.empty() && settings->name.size() < IFNAMSIZ &&
         settings->bridge.size() < IFNAMSIZ;
}

}  // namespace

Napi::Value OpenTap(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  TapSettings settings;
  if (!info[0].IsObject() || !ReadSettings(info[0].As<Napi::Object>(), &settings)) {
    ThrowSystemError(env, EINVAL, "check the name");
    return env.Undefined();
  }
  ScopedFd netns(-1);
  if (!settings.netns.empty()) {
    netns.Reset(open(settings.netns.c_str(), O_RDONLY | O_CLOEXEC));
    // Anything else would be refused later, by a message that says nothing of it.
    bool is_netns = netns.get() >= 0 && ioctl(netns.get(), NS_GET_NSTYPE) == CLONE_NEWNET;
    if (!is_netns) {
      ThrowSystemError(env, errno, "enter the network namespace");
      return env.Undefined();
    }
  }
  // Opened here even for another namespace: the descriptor holds the one that it was opened in, and
  // a namespace that is held does not go when it is deleted.
  ScopedFd tap(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (tap.get() < 0) {
    ThrowSystemError(env, errno, "open /dev/net/tun");
    return env.Undefined();
  }
  struct ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  const std::string first_name = netns.get() < 0 ? settings.name : kPassingName;
  memcpy(request.ifr_name, first_name.c_str(), first_name.size());
  if (ioctl(tap.get(), TUNSETIFF, &request) != 0) {
    ThrowSystemError(env, errno, "make the TAP");
    return env.Undefined();
  }
  const char* failed = nullptr;
  ScopedNetns inside;
  if (netns.get() >= 0) {
    int index = static_cast<int>(if_nametoindex(request.ifr_name));
    if (!MoveToNetns(index, netns.get(), settings.name))
      failed = "move the TAP";
    else if (!inside.Enter(netns.get()))
      failed = "enter the network namespace";
    memset(request.ifr_name, 0, sizeof request.ifr_name);
    memcpy(request.ifr_name, settings.name.c_str(), settings.name.size());
  }
  ScopedFd control(failed != nullptr ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::string name = request.ifr_name;
  if (failed == nullptr && control.get() < 0) failed = "open a socket";
  if (failed == nullptr) {
    Remember(tap.get(), control.get(), &settings, &request);
    failed = Configure(control.get(), &settings, &request);
  }
  if (failed != nullptr) {
    ThrowSystemError(env, errno, failed);
    return env.Undefined();
  }
  auto mac = Napi::Uint8Array::New(env, 6);
  memcpy(mac.Data(), request.ifr_hwaddr.sa_data, 6);
  Napi::Object result = Napi::Object::New(env);
  result.Set("fd", Napi::Number::New(env, tap.Take()));
  result.Set("name", Napi::String::New(env, name));
  result.Set("mac", mac);
  result.Set("mtu", Napi::Number::New(env, settings.mtu));
  if (settings.stays) {
    Napi::Object former = Napi::Object::New(env);
    former.Set("address", Napi::Number::New(env, settings.former_address));
    former.Set("mask", Napi::Number::New(env, settings.former_mask));
    former.Set("isUp", Napi::Boolean::New(env, settings.was_up));
    result.Set("former", former);
  }
  return result;
}

Napi::Value LeaveTap(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = info[0].As<Napi::String>().Utf8Value();
  uint32_t address = info[1].As<Napi::Number>().Uint32Value();
  Napi::Object former = info[2].As<Napi::Object>();
  uint32_t former_address = former.Get("address").ToNumber().Uint32Value();
  bool was_up = former.Get("isUp").ToBoolean().Value();
  ScopedFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ifreq request = {};
  if (control.get() < 0 || name.size() >= IFNAMSIZ) return env.Undefined();
  memcpy(request.ifr_name, name.c_str(), name.size());
  // Only what is still as it was made here: since then it may be somebody else's.
  if (address != former_address && AddressOf(control.get(), &request) == address) {
    SetAddress(&request, former_address);
    (void)!ioctl(control.get(), SIOCSIFADDR, &request);
    SetAddress(&request, former.Get("mask").ToNumber().Uint32Value());
    if (former_address != 0) (void)!ioctl(control.get(), SIOCSIFNETMASK, &request);
  }
  if (!was_up && ioctl(control.get(), SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags &= ~IFF_UP;
    (void)!ioctl(control.get(), SIOCSIFFLAGS, &request);
  }
  return env.Undefined();
}

Napi::Function TapIo::Define(Napi::Env env) {
  return DefineClass(
      env, "TapIo",
      {InstanceMethod("transmit", &TapIo::Transmit), InstanceMethod("close", &TapIo::Close),
       InstanceMethod("slot", &TapIo::Slot)});
}

TapIo::TapIo(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TapIo>(info) { Open(info); }

TapIo::~TapIo() { Release(); }

void TapIo::Send(const uint8_t* run, int count, int64_t frames) {
  if (!open()) {
    Count(kDropTxDown, frames);
    return;
  }
  int64_t sent = 0;
  int64_t bytes = 0;
  int64_t full = 0;
  for (int i = 0; i < count; i++) {
    const uint8_t* at = run + stretches_[i].offset;
    const uint8_t* end = at + stretches_[i].length;
    while (at < end) {
      size_t length = FrameLength(at);
      ssize_t written = write(fd_, at + kLengthBytes, length);
      if (written >= 0) {
        sent++;
        bytes += static_cast<int64_t>(length);
      } else if (errno == EAGAIN || errno == ENOBUFS) {
        full++;
      }
      at += kLengthBytes + length;
    }
  }
  Count(kTxFrames, sent);
  Count(kTxBytes, bytes);
  Count(kDropTxFull, full);
  Count(kDropTxError, frames - sent - full);
}

void TapIo::OnReady(int, bool failed) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  [[maybe_unused]] Napi::Value self = Value();  // keeps this object while JavaScript may drop it
  size_t length = 0;
  int error = 0;
  for (int i = 0; i < kFramesPerTurn && length + kLengthBytes + kMaxFrame <= run_capacity_; i++) {
    ssize_t received = read(fd_, run_ + length + kLengthBytes, kMaxFrame);
    if (received < 0) {
      error = errno;
      break;
    }
    if (received == 0) break;
    PutFrameLength(run_ + length, static_cast<uint32_t>(received));
    length += kLengthBytes + static_cast<size_t>(received);
  }
  if (length > 0) Walk(env, length);
  // EBADFD: the device went, as with its network namespace. EIO: it is down, and stays a port.
  bool passing = error == 0 || error == EAGAIN || error == EINTR || error == EIO;
  if (failed || !passing) End(env, passing || error == EBADFD ? "gone" : Uv().err_name(-error));
}

}  // namespace vmbridge

#include "link.h"

#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#ifdef __APPLE__
#include <net/if_media.h>
#include <sys/sockio.h>
#endif

namespace vmbridge {

namespace {

struct Link {
  const char* state = "missing";
  bool wireless = false;
};

template <typename Request>
bool Ask(int control, unsigned long command, const std::string& name, Request* request,
         char* field) {
  strncpy(field, name.c_str(), IFNAMSIZ - 1);
  return ioctl(control, command, request) == 0;
}

Link Look(int control, const std::string& name) {
  Link link;
  struct ifreq flags = {};
  // Not if_nametoindex, which wants a descriptor of its own.
  if (name.size() >= IFNAMSIZ || !Ask(control, SIOCGIFFLAGS, name, &flags, flags.ifr_name)) {
    return link;
  }
  bool up = (flags.ifr_flags & IFF_UP) != 0;
#ifdef __APPLE__
  // IFF_RUNNING stays set there without a carrier.
  struct ifmediareq media = {};
  if (Ask(control, SIOCGIFMEDIA, name, &media, media.ifm_name)) {
    if (media.ifm_status & IFM_AVALID) up = up && (media.ifm_status & IFM_ACTIVE) != 0;
    link.wireless = IFM_TYPE(media.ifm_current) == IFM_IEEE80211;
  }
#else
  up = up && (flags.ifr_flags & IFF_RUNNING) != 0;
  link.wireless = access(("/sys/class/net/" + name + "/wireless").c_str(), F_OK) == 0;
#endif
  link.state = up ? "up" : "down";
  return link;
}

}  // namespace

Napi::Value LinkOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = info[0].ToString().Utf8Value();
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  if (control < 0) return env.Undefined();
  Link link = Look(control, name);
  close(control);
  Napi::Object result = Napi::Object::New(env);
  result.Set("state", link.state);
  result.Set("wireless", Napi::Boolean::New(env, link.wireless));
  return result;
}

}  // namespace vmbridge

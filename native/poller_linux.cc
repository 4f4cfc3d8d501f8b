// The epoll set of ports: how it works stands in poller.h.
//
// The few ports with the most traffic are not in the set but beside it, in a poll(2) of their own
// and of the set. A socket in an epoll set has a callback that its writer runs for every write,
// whether anybody waits or not; with one frame a write that is a cost a frame, paid by the VM.
// poll(2) leaves one only while it sleeps. It cannot hold many, as it asks each of them every time.
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "environment.h"
#include "poller.h"

namespace vmbridge {

namespace {
// Events of one wait. Each port gets one turn; what does not fit is ready again at once.
constexpr int kEventsPerWait = 64;
// Ports beside the set: enough for three flows, and as dear to ask as an epoll_wait is.
constexpr size_t kMostHot = 8;
// A port becomes one after this many events with no more than kGap waits between two, and is one no
// longer after kCoolAfter waits without.
constexpr int kHotAfter = 32;
constexpr uint64_t kGap = 4;
constexpr uint64_t kCoolAfter = 256;

uint32_t EpollEvents(int events) {
  return (events & kReadable ? EPOLLIN : 0u) | (events & kWritable ? EPOLLOUT : 0u);
}
}  // namespace

// One watched descriptor. It outlives its Handler for as long as a batch of events may still name
// it.
class Poller {
 public:
  Registry* registry;
  Handler* handler;
  int fd;
  int events;
  bool hot = false;
  int heat = 0;
  uint64_t seen = 0;  // the wait that found it ready last
};

class Registry {
 public:
  explicit Registry(Napi::Env env);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  uv_loop_t* loop() const { return loop_; }
  bool Add(Handler* handler, int fd, int events);
  void Change(Poller* poller, int events);
  void Remove(Poller* poller);

 private:
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* arg);
  void End();
  bool OpenSet();
  void CloseSet();
  int ArmTimer(int timeout);
  void WaitInsteadOfUv();
  // Waits up to `timeout` ms (-1: for an event) and serves the ports that are ready. False when
  // uv's turn has come.
  bool Serve(int timeout);
  // The same for the hot ports and the set, and for the set alone. True when uv's turn has come.
  bool ServeHot(int timeout);
  bool ServeSet(int timeout);
  void Deliver(Poller* poller, bool readable, bool writable, bool failed);
  bool Control(int operation, Poller* poller);
  void Warm(Poller* poller);
  void CoolDown();
  void FreeRetired();

  uv_loop_t* loop_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_prepare_t prepare_;
  uv_idle_t idle_;
  int open_handles_ = 2;
  int set_ = -1;
  // Fires when uv's next timer is due. A timeout of epoll_wait's own would be armed and taken back
  // for every frame, which made a round trip 2 % slower.
  int timer_ = -1;
  uint64_t timer_due_ = 0;  // in the loop's time; 0 while it is not set
  size_t watched_ = 0;
  bool ended_ = false;
  bool serving_ = false;
  uint64_t wait_ = 0;
  std::vector<Poller*> all_;
  std::vector<Poller*> hot_;
  std::vector<Poller*> retired_;
};

Registry::Registry(Napi::Env env) {
  napi_get_uv_event_loop(env, &loop_);
  uv_prepare_init(loop_, &prepare_);
  prepare_.data = this;
  uv_idle_init(loop_, &idle_);
  idle_.data = this;
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, this, &hook_);
}

Registry::~Registry() {
  FreeRetired();
  CloseSet();
}

void Registry::OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* arg) {
  static_cast<Registry*>(arg)->End();
}

// The environment ends: no handler is called any more. Their descriptors are closed when they are
// collected.
void Registry::End() {
  ended_ = true;
  while (!all_.empty()) Remove(all_.back());
  for (auto* handle :
       {reinterpret_cast<uv_handle_t*>(&prepare_), reinterpret_cast<uv_handle_t*>(&idle_)}) {
    uv_close(handle, [](uv_handle_t* closed) {
      auto* registry = static_cast<Registry*>(closed->data);
      // Removing the hook lets Node delete the environment, and with it this object.
      if (--registry->open_handles_ == 0) napi_remove_async_cleanup_hook(registry->hook_);
    });
  }
}

bool Registry::OpenSet() {
  set_ = epoll_create1(EPOLL_CLOEXEC);
  timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  // What is not a port is told by its data: nullptr is uv, the timer's is its own place.
  struct epoll_event uv = {};
  uv.events = EPOLLIN;
  struct epoll_event timer = {};
  timer.events = EPOLLIN;
  timer.data.ptr = &timer_;
  if (set_ >= 0 && timer_ >= 0 && epoll_ctl(set_, EPOLL_CTL_ADD, uv_backend_fd(loop_), &uv) == 0 &&
      epoll_ctl(set_, EPOLL_CTL_ADD, timer_, &timer) == 0) {
    return true;
  }
  int error = errno;
  CloseSet();
  errno = error;
  return false;
}

void Registry::CloseSet() {
  if (set_ >= 0) close(set_);
  if (timer_ >= 0) close(timer_);
  set_ = timer_ = -1;
}

bool Registry::Add(Handler* handler, int fd, int events) {
  if (ended_) {
    errno = ECANCELED;
    return false;
  }
  if (set_ < 0 && !OpenSet()) return false;
  auto* poller = new Poller{this, handler, fd, events};
  if (!Control(EPOLL_CTL_ADD, poller)) {
    delete poller;
    return false;
  }
  handler->poller_ = poller;
  all_.push_back(poller);
  if (++watched_ == 1) {
    uv_prepare_start(&prepare_, [](uv_prepare_t* prepare) {
      static_cast<Registry*>(prepare->data)->WaitInsteadOfUv();
    });
  }
  return true;
}

bool Registry::Control(int operation, Poller* poller) {
  struct epoll_event event = {};
  event.events = EpollEvents(poller->events);
  event.data.ptr = poller;
  return epoll_ctl(set_, operation, poller->fd, &event) == 0;
}

void Registry::Change(Poller* poller, int events) {
  poller->events = events;
  if (!poller->hot) Control(EPOLL_CTL_MOD, poller);
}

void Registry::Remove(Poller* poller) {
  if (poller->hot) {
    hot_.erase(std::find(hot_.begin(), hot_.end(), poller));
  } else {
    Control(EPOLL_CTL_DEL, poller);
  }
  poller->handler->poller_ = nullptr;
  poller->handler = nullptr;
  for (Poller*& each : all_) {
    if (each != poller) continue;
    each = all_.back();
    all_.pop_back();
    break;
  }
  retired_.push_back(poller);
  if (!serving_) FreeRetired();
  if (--watched_ > 0) return;
  uv_prepare_stop(&prepare_);
  uv_idle_stop(&idle_);
}

void Registry::FreeRetired() {
  for (Poller* poller : retired_) delete poller;
  retired_.clear();
}

void Registry::WaitInsteadOfUv() {
  uv_idle_stop(&idle_);
  // What uv_backend_timeout says is in terms of the loop's own time: Serve brings that up to date.
  while (Serve(ArmTimer(uv_backend_timeout(loop_))) && watched_ > 0) {
  }
  // From here uv would do its work and then block, where no port could wake it: an idle handle
  // makes it come back instead, to wait here.
  if (watched_ > 0) uv_idle_start(&idle_, [](uv_idle_t*) {});
}

// Sets the timer of the set to uv's next one, unless it is set to that already. Returns what is
// left for epoll_wait: 0 not to wait, -1 to wait for an event, the timer's included.
int Registry::ArmTimer(int timeout) {
  if (timeout <= 0) return timeout;
  uint64_t due = uv_now(loop_) + static_cast<uint64_t>(timeout);
  if (due == timer_due_) return -1;
  struct itimerspec when = {};
  when.it_value.tv_sec = timeout / 1000;
  when.it_value.tv_nsec = timeout % 1000 * 1000000L;
  if (timerfd_settime(timer_, 0, &when, nullptr) != 0) return timeout;
  timer_due_ = due;
  return -1;
}

bool Registry::Serve(int timeout) {
  wait_++;
  serving_ = true;
  bool uv_is_due = hot_.empty() ? ServeSet(timeout) : ServeHot(timeout);
  serving_ = false;
  FreeRetired();
  return !uv_is_due && timeout != 0;
}

bool Registry::ServeHot(int timeout) {
  struct pollfd looks[kMostHot + 1];
  Poller* pollers[kMostHot];
  size_t count = hot_.size();
  for (size_t i = 0; i < count; i++) {
    pollers[i] = hot_[i];
    int events = pollers[i]->events;
    looks[i] = {
        pollers[i]->fd,
        static_cast<short>((events & kReadable ? POLLIN : 0) | (events & kWritable ? POLLOUT : 0)),
        0};
  }
  looks[count] = {set_, POLLIN, 0};
  int ready = poll(looks, count + 1, timeout);
  uv_update_time(loop_);
  if (ready <= 0) return true;
  for (size_t i = 0; i < count; i++) {
    short what = looks[i].revents;
    if (what == 0) continue;
    pollers[i]->seen = wait_;
    Deliver(pollers[i], what & (POLLIN | POLLHUP), what & POLLOUT, what & (POLLERR | POLLNVAL));
  }
  if (wait_ % kCoolAfter == 0) CoolDown();
  return looks[count].revents != 0 && ServeSet(0);
}

bool Registry::ServeSet(int timeout) {
  struct epoll_event events[kEventsPerWait];
  int count = epoll_wait(set_, events, kEventsPerWait, timeout);
  uv_update_time(loop_);
  bool uv_is_due = count < 0 || (count == 0 && timeout != 0);
  for (int i = 0; i < count; i++) {
    auto* poller = static_cast<Poller*>(events[i].data.ptr);
    if (poller == nullptr) {
      uv_is_due = true;
    } else if (events[i].data.ptr == &timer_) {
      uint64_t expirations;
      if (read(timer_, &expirations, sizeof expirations) > 0) timer_due_ = 0;
      uv_is_due = true;
    } else {
      uint32_t what = events[i].events;
      Warm(poller);
      Deliver(poller, what & (EPOLLIN | EPOLLHUP), what & EPOLLOUT, what & EPOLLERR);
    }
  }
  return uv_is_due;
}

void Registry::Deliver(Poller* poller, bool readable, bool writable, bool failed) {
  // Closed by another port's turn in the same batch.
  if (poller->handler == nullptr) return;
  poller->handler->OnReady((readable ? kReadable : 0) | (writable ? kWritable : 0), failed);
}

void Registry::Warm(Poller* poller) {
  poller->heat = wait_ - poller->seen <= kGap ? poller->heat + 1 : 1;
  poller->seen = wait_;
  if (poller->heat < kHotAfter || hot_.size() == kMostHot || poller->handler == nullptr) return;
  if (!Control(EPOLL_CTL_DEL, poller)) return;
  poller->hot = true;
  hot_.push_back(poller);
}

void Registry::CoolDown() {
  for (size_t i = hot_.size(); i-- > 0;) {
    Poller* poller = hot_[i];
    if (wait_ - poller->seen < kCoolAfter || !Control(EPOLL_CTL_ADD, poller)) continue;
    poller->hot = false;
    poller->heat = 0;
    hot_.erase(hot_.begin() + static_cast<ptrdiff_t>(i));
  }
}

Handler::~Handler() { Unpoll(); }

bool Handler::Poll(Napi::Env env, int fd, int events) {
  return env.GetInstanceData<Environment>()->registry->Add(this, fd, events);
}

void Handler::Watch(int events) {
  if (poller_ != nullptr) poller_->registry->Change(poller_, events);
}

void Handler::Unpoll() {
  if (poller_ != nullptr) poller_->registry->Remove(poller_);
}

std::unique_ptr<Registry, void (*)(Registry*)> OpenRegistry(Napi::Env env) {
  return {new Registry(env), [](Registry* registry) { delete registry; }};
}

double LoopTime(Napi::Env env) {
  return static_cast<double>(uv_now(env.GetInstanceData<Environment>()->registry->loop()));
}

}  // namespace vmbridge

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <crt_externs.h>
#endif

#include <fstream>
#include <string>
#include <vector>

#include "inherited.h"
#include "poller.h"
#include "uv_api.h"

#ifdef __APPLE__
// A library has no `environ` of its own there.
#define environ (*_NSGetEnviron())
#else
extern char** environ;
#endif

namespace vmbridge {

namespace {

constexpr int kSocketDescriptor = 3;

struct Descriptor {
  int number;
  bool non_blocking;
};

// The state to put back; the defaults are what a shell gives when the launcher was not there to
// look.
struct Inherited {
  uint64_t ignored = 0;
  uint64_t blocked = 0;
  bool has_limit = false;
  rlim_t limit = 0;
  std::vector<Descriptor> descriptors;
};

Inherited Parse(const std::string& text) {
  Inherited result;
  const char* at = text.c_str();
  char* end = nullptr;
  result.ignored = strtoull(at, &end, 16);
  if (*end == ':') result.blocked = strtoull(end + 1, &end, 16);
  if (*end == ':') {
    at = end + 1;
    unsigned long long limit = strtoull(at, &end, 10);
    result.has_limit = end != at;
    result.limit = limit;
    if (!result.has_limit) end = const_cast<char*>(strchr(at, ':'));
  }
  while (end != nullptr && (*end == ':' || *end == ',')) {
    at = end + 1;
    long number = strtol(at, &end, 10);
    if (end == at) break;
    bool non_blocking = *end == 'n';
    if (non_blocking) end++;
    result.descriptors.push_back({static_cast<int>(number), non_blocking});
  }
  return result;
}

void RestoreSignals(const Inherited& inherited) {
  sigset_t blocked;
  sigemptyset(&blocked);
  for (int number = 1; number <= VMBRIDGE_SIGNALS; number++) {
    uint64_t bit = uint64_t{1} << (number - 1);
    struct sigaction action = {};
    action.sa_handler = inherited.ignored & bit ? SIG_IGN : SIG_DFL;
    sigaction(number, &action, nullptr);  // fails for SIGKILL, SIGSTOP and libc's own, rightly
    if (inherited.blocked & bit) sigaddset(&blocked, number);
  }
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
}

void RestoreDescriptors(const Inherited& inherited) {
  for (const Descriptor& descriptor : inherited.descriptors) {
    int flags = fcntl(descriptor.number, F_GETFL);
    if (flags < 0) continue;
    int wanted = descriptor.non_blocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags) fcntl(descriptor.number, F_SETFL, wanted);
    fcntl(descriptor.number, F_SETFD, 0);
  }
}

void RestoreLimit(const Inherited& inherited) {
  struct rlimit limit;
  if (!inherited.has_limit || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = inherited.limit;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<std::string> Strings(const Napi::Value& value) {
  std::vector<std::string> result;
  auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto bytes = array.Get(i).As<Napi::Uint8Array>();
    result.emplace_back(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  }
  return result;
}

// What the launcher put out of Node's sight has its own name again.
void RestoreEnvironment() {
  size_t length = strlen(VMBRIDGE_KEPT);
  for (char** at = environ; *at != nullptr; at++) {
    if (strncmp(*at, VMBRIDGE_KEPT, length) == 0) *at += length;
  }
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(&string[0]);
  result.push_back(nullptr);
  return result;
}

}  // namespace

Napi::Value OwnArguments(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array result = Napi::Array::New(env);
  uint32_t count = 0;
  auto add = [&](const char* bytes, size_t length) {
    result.Set(count++, Napi::Buffer<char>::Copy(env, bytes, length));
  };
#ifdef __APPLE__
  char** argv = *_NSGetArgv();
  for (int i = 0; i < *_NSGetArgc(); i++) add(argv[i], strlen(argv[i]));
#else
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  for (std::string argument; std::getline(file, argument, '\0');) {
    add(argument.data(), argument.size());
  }
#endif
  return result;
}

Napi::Value Exec(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto options = info[0].As<Napi::Object>();
  std::vector<std::string> args = Strings(options.Get("args"));
  std::vector<char*> argv = Pointers(args);
  Napi::Value socket = options.Get("fd");
  Napi::Value noted = options.Get("inherited");
  Inherited inherited;
  if (noted.IsString()) {
    inherited = Parse(noted.As<Napi::String>().Utf8Value());
  } else {
    for (int number = 0; number <= 2; number++) inherited.descriptors.push_back({number, false});
  }

  int before = -1;
  if (socket.IsNumber()) {
    int fd = socket.As<Napi::Number>().Int32Value();
    // Descriptor 3 is likely Node's own, which it needs if there is no such program.
    before = fcntl(kSocketDescriptor, F_DUPFD_CLOEXEC, kSocketDescriptor + 1);
    if (fd != kSocketDescriptor && dup2(fd, kSocketDescriptor) < 0) {
      ThrowSystemError(env, errno, "dup2");
      return env.Undefined();
    }
  }
  RestoreDescriptors(inherited);
  if (socket.IsNumber()) {
    fcntl(kSocketDescriptor, F_SETFD, 0);
    fcntl(kSocketDescriptor, F_SETFL, fcntl(kSocketDescriptor, F_GETFL) & ~O_NONBLOCK);
  }
  RestoreLimit(inherited);
  RestoreSignals(inherited);
  unsetenv(VMBRIDGE_INHERITED);
  RestoreEnvironment();
  execvp(argv[0] == nullptr ? "" : argv[0], argv.data());
  int error = errno;
  if (before >= 0) {
    dup2(before, kSocketDescriptor);
    fcntl(kSocketDescriptor, F_SETFD, FD_CLOEXEC);
    close(before);
  }
  ThrowSystemError(env, error, "exec");
  return env.Undefined();
}

Napi::Value ExitNow(const Napi::CallbackInfo& info) { _exit(info[0].ToNumber().Int32Value()); }

Napi::Value Lock(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (flock(info[0].ToNumber().Int32Value(), LOCK_EX | LOCK_NB) == 0) {
    return Napi::Boolean::New(env, true);
  }
  if (errno != EWOULDBLOCK) {
    ThrowSystemError(env, errno, "flock");
    return env.Undefined();
  }
  return Napi::Boolean::New(env, false);
}

Napi::Value Now(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(Uv().hrtime() / 1000000));
}

Napi::Value SleptFor(const Napi::CallbackInfo& info) {
  // Of each pair the first goes on during sleep and the second does not; neither is ever set.
#ifdef __APPLE__
  uint64_t slept =
      clock_gettime_nsec_np(CLOCK_MONOTONIC_RAW) - clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
  double ms = static_cast<double>(slept / 1000000);
#else
  struct timespec with = {};
  struct timespec without = {};
  clock_gettime(CLOCK_MONOTONIC, &without);
  clock_gettime(CLOCK_BOOTTIME, &with);
  double ms = static_cast<double>(with.tv_sec - without.tv_sec) * 1000 +
              static_cast<double>((with.tv_nsec - without.tv_nsec) / 1000000);
#endif
  return Napi::Number::New(info.Env(), ms);
}

Napi::Value UserOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = info[0].ToString().Utf8Value();
  bool is_number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  struct passwd* found = is_number
                             ? getpwuid(static_cast<uid_t>(strtoul(name.c_str(), nullptr, 10)))
                             : getpwnam(name.c_str());
  if (found == nullptr) return env.Undefined();
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", found->pw_name);
  result.Set("uid", Napi::Number::New(env, found->pw_uid));
  result.Set("gid", Napi::Number::New(env, found->pw_gid));
  return result;
}

Napi::Value GroupId(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = info[0].ToString().Utf8Value();
  struct group* found = getgrnam(name.c_str());
  if (found == nullptr) return env.Undefined();
  return Napi::Number::New(env, found->gr_gid);
}

}  // namespace vmbridge

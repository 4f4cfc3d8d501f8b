// Becomes Node in place: PID, arguments and descriptors stay. Which Node and which script, it knows
// by the name of its own file:
//
//   launcher NODE SCRIPT ARGS...   in a checkout, started by bin/vmbridge
//   vmbridge ARGS...               in an installed tree (src/install/layout.ts has its shape),
//   socket_vmnet ARGS...           where it is started by launchd, systemd, sudo or a user, from
//                                  any folder and with any environment, an empty one too
//   qemu-system-ARCH ARGS...       likewise, by talosctl
//
// First it notes what this process inherited and Node will change (inherited.h), so that
// `vmbridge run` and the stand-ins for QEMU can hand it on as it came.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <sys/auxv.h>
#endif

#include "inherited.h"

extern char** environ;

static uint64_t ignored_signals(void) {
  uint64_t mask = 0;
  for (int number = 1; number <= VMBRIDGE_SIGNALS; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
      mask |= (uint64_t)1 << (number - 1);
    }
  }
  return mask;
}

static uint64_t blocked_signals(void) {
  uint64_t mask = 0;
  sigset_t blocked;
  if (sigprocmask(SIG_BLOCK, NULL, &blocked) != 0) return 0;
  for (int number = 1; number <= VMBRIDGE_SIGNALS; number++) {
    if (sigismember(&blocked, number) == 1) mask |= (uint64_t)1 << (number - 1);
  }
  return mask;
}

static void note_inherited(void) {
  static char text[64 + 8 * VMBRIDGE_DESCRIPTORS];
  size_t length =
      (size_t)snprintf(text, sizeof text, "%llx:%llx:", (unsigned long long)ignored_signals(),
                       (unsigned long long)blocked_signals());
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    length += (size_t)snprintf(text + length, sizeof text - length, "%llu",
                               (unsigned long long)limit.rlim_cur);
  } else {
    length += (size_t)snprintf(text + length, sizeof text - length, "-");
  }
  char separator = ':';
  for (int fd = 0; fd < VMBRIDGE_DESCRIPTORS; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_GETFD) & FD_CLOEXEC) continue;
    length += (size_t)snprintf(text + length, sizeof text - length, "%c%d%s", separator, fd,
                               flags & O_NONBLOCK ? "n" : "");
    separator = ',';
  }
  setenv(VMBRIDGE_INHERITED, text, 1);
}

// The path of this executable, free of links; false with errno set when the system does not tell.
static bool own_path(char path[PATH_MAX]) {
#ifdef __APPLE__
  char raw[PATH_MAX];
  uint32_t size = sizeof raw;
  if (_NSGetExecutablePath(raw, &size) == 0) return realpath(raw, path) != NULL;
  errno = ENAMETOOLONG;
  return false;
#else
  ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
  if (length < 0) return false;
  path[length] = '\0';
  // An install that replaced this file since it was started has the kernel say so behind the name.
  static const char deleted[] = " (deleted)";
  char* end = path + length - (sizeof deleted - 1);
  if (end > path && strcmp(end, deleted) == 0) *end = '\0';
  return true;
#endif
}

// Cuts the last component off; false when none is left.
static bool to_parent(char* path) {
  char* slash = strrchr(path, '/');
  if (slash == NULL) return false;
  *slash = '\0';
  return true;
}

// More rights than those of the user who chose the environment: root's, by sudo or launchd, or what
// a set-user-ID bit or a file's capabilities gave.
static bool is_privileged(void) {
#ifdef __APPLE__
  return geteuid() == 0 || issetugid();
#else
  return geteuid() == 0 || getauxval(AT_SECURE) != 0;
#endif
}

// Variables that make Node run or load a file of the caller's choice, or write one, each as the
// beginning of NAME=VALUE. sudo removes LD_* and DYLD_*, but passes the others with -E or env_keep.
// A user without rights keeps them: they are theirs to set, and meant for the program that
// `vmbridge run` starts as well. HOME stays too, which sudo passes on macOS:
// --no-global-search-paths keeps Node from ~/.node_modules.
static const char* const foreign[] = {
    "NODE_",               // NODE_OPTIONS=--require, NODE_PATH, NODE_COMPILE_CACHE,
                           // NODE_EXTRA_CA_CERTS, NODE_V8_COVERAGE, NODE_CHANNEL_FD, ...
    "OPENSSL_",            // a configuration that names libraries to load
    "LD_",                 // the dynamic linkers'
    "DYLD_",               //
    "GCONV_PATH=",         // libraries for iconv(3)
    "VMBRIDGE_PREBUILD=",  // another addon
    VMBRIDGE_KEPT,         // any of these, once exec took that off
};

static bool is_foreign(const char* variable) {
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    if (strncmp(variable, foreign[i], strlen(foreign[i])) == 0) return true;
  }
  return false;
}

static void drop_foreign_variables(void) {
  char** kept = environ;
  for (char** at = environ; *at != NULL; at++) {
    if (!is_foreign(*at)) *kept++ = *at;
  }
  *kept = NULL;
}

// Puts those variables out of Node's sight, and of ours, until exec. False when there is no memory.
static bool hide_foreign_variables(void) {
  for (char** at = environ; *at != NULL; at++) {
    if (!is_foreign(*at)) continue;
    size_t size = strlen(*at) + sizeof VMBRIDGE_KEPT;
    char* hidden = malloc(size);
    if (hidden == NULL) return false;
    snprintf(hidden, size, "%s%s", VMBRIDGE_KEPT, *at);
    *at = hidden;
  }
  return true;
}

// Puts the version that PREFIX/current names behind `root`, a prefix; a root without that file is a
// version's own folder, and stays. False with errno set when the file cannot be read or makes no
// sense.
static bool find_tree(char root[PATH_MAX]) {
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s/current", root) >= sizeof path) {
    errno = ENAMETOOLONG;
    return false;
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  char version[128];
  ssize_t length = read(fd, version, sizeof version - 1);
  int reason = errno;
  close(fd);
  errno = reason;
  if (length < 0) return false;
  version[length] = '\0';
  version[strcspn(version, "\n")] = '\0';
  errno = EINVAL;
  if (*version == '\0' || *version == '.' || strchr(version, '/') != NULL) return false;
  size_t end = strlen(root);
  if ((size_t)snprintf(root + end, PATH_MAX - end, "/versions/%s", version) < PATH_MAX - end) {
    return true;
  }
  errno = ENAMETOOLONG;
  return false;
}

// What an executable of an installed tree starts.
struct start {
  const char* name;
  // A path below the tree.
  const char* script;
  // Stands in for a program, which finds the environment as it came.
  bool is_stand_in;
};

// Returns only an exit status.
static int start_installed(const struct start* start, char self[PATH_MAX], int argc, char** argv) {
  const char* name = start->name;
  const char* script = start->script;
  char tree[PATH_MAX], node[PATH_MAX], file[PATH_MAX];
  snprintf(tree, sizeof tree, "%s", self);
  if (!to_parent(tree) || !to_parent(tree) || !find_tree(tree)) {
    fprintf(stderr, "%s: the tree that %s belongs to is not whole (current: %s)\n", name, self,
            strerror(errno));
    return 1;
  }
  bool fits = (size_t)snprintf(node, sizeof node, "%s/node", tree) < sizeof node &&
              (size_t)snprintf(file, sizeof file, "%s/%s", tree, script) < sizeof file;
  if (!fits) errno = ENAMETOOLONG;
  if (!fits || access(file, R_OK) != 0) {
    fprintf(stderr, "%s: cannot read %s/%s: %s\n  try: install vmbridge again\n", name, tree,
            script, strerror(errno));
    return 1;
  }
  if (start->is_stand_in) {
    if (!hide_foreign_variables()) return 1;
  } else if (is_privileged()) {
    drop_foreign_variables();
  }
  note_inherited();
  // One more than argc needs: it may be 0, and then there is no argv[0] whose place `self` takes.
  char** args = calloc((size_t)argc + 4, sizeof *args);
  if (args == NULL) return 1;
  // ps(1) shows what was started, not only what it is made of.
  args[0] = self;
  args[1] = "--no-global-search-paths";
  args[2] = file;
  for (int i = 1; i < argc; i++) args[i + 2] = argv[i];
  execv(node, args);
  fprintf(stderr, "%s: cannot start %s: %s\n  try: install vmbridge again\n", name, node,
          strerror(errno));
  return 1;
}

static const struct start installed[] = {
    {"vmbridge", "dist/src/cli/bin.js", false},
    {"socket_vmnet", "dist/src/compat/socket-vmnet.js", false},
    {"qemu-system-aarch64", "dist/src/talos/bin.js", true},
    {"qemu-system-x86_64", "dist/src/talos/bin.js", true},
};

int main(int argc, char** argv) {
  char self[PATH_MAX];
  bool is_found = own_path(self);
  int reason = errno;
  // Not argv[0] where there is a choice: whoever starts a program may write there what they like.
  const char* path = is_found ? self : argc > 0 ? argv[0] : "";
  const char* slash = strrchr(path, '/');
  const char* name = slash == NULL ? path : slash + 1;
  for (size_t i = 0; i < sizeof installed / sizeof *installed; i++) {
    if (strcmp(name, installed[i].name) != 0) continue;
    if (is_found) return start_installed(&installed[i], self, argc, argv);
    fprintf(stderr, "%s: cannot find its own file: %s (is /proc mounted?)\n", name,
            strerror(reason));
    return 1;
  }
  if (argc < 3) {
    fprintf(stderr, "usage: launcher NODE SCRIPT ARGS...\n");
    return 2;
  }
  note_inherited();
  execvp(argv[1], argv + 1);
  fprintf(stderr, "vmbridge: cannot start %s: %s\n", argv[1], strerror(errno));
  return errno == ENOENT ? 127 : 126;
}

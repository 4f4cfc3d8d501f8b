// The server's books. CPU time is the first number of /proc/PID/task/*/schedstat, nanoseconds that
// the task has run, user and system; /proc/PID/schedstat has the main thread alone. A task that
// ends takes its share with it, which servers with standing threads do not mind. Where the kernel
// keeps no schedstat there is utime and stime in /proc/PID/stat, in ticks of 10 ms.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loadgen.h"

static bool task_ns(pid_t pid, const char* task, uint64_t* total) {
  char path[320];
  snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task);
  FILE* file = fopen(path, "r");
  if (!file) return false;
  unsigned long long ns = 0;
  bool read = fscanf(file, "%llu", &ns) == 1;
  fclose(file);
  *total += ns;
  return read;
}

static struct server_cpu cpu_from_schedstat(pid_t pid) {
  struct server_cpu cpu = {0};
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR* tasks = opendir(path);
  if (!tasks) return cpu;
  for (struct dirent* entry; (entry = readdir(tasks));) {
    if (entry->d_name[0] != '.' && task_ns(pid, entry->d_name, &cpu.ns)) cpu.known = true;
  }
  closedir(tasks);
  if (cpu.ns == 0) cpu.known = false;
  return cpu;
}

static struct server_cpu cpu_from_stat(pid_t pid) {
  struct server_cpu cpu = {0};
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = fopen(path, "r");
  if (!file) return cpu;
  size_t bytes = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[bytes] = 0;
  // The second field is a name in brackets and may hold anything; utime is the 12th behind it.
  char* behind_name = strrchr(line, ')');
  unsigned long user, system;
  if (!behind_name ||
      sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
             &system) != 2)
    return cpu;
  cpu.known = true;
  cpu.ns = (user + system) * (1000000000ull / sysconf(_SC_CLK_TCK));
  return cpu;
}

struct server_cpu server_cpu(pid_t pid) {
  if (pid == 0) return (struct server_cpu){0};
  struct server_cpu cpu = cpu_from_schedstat(pid);
  return cpu.known ? cpu : cpu_from_stat(pid);
}

struct server_memory server_memory(pid_t pid) {
  struct server_memory memory = {0};
  if (pid == 0) return memory;
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE* file = fopen(path, "r");
  if (!file) return memory;
  int found = 0;
  while (fgets(line, sizeof line, file)) {
    found += sscanf(line, "VmRSS: %ld", &memory.rss_kib) == 1;
    found += sscanf(line, "VmHWM: %ld", &memory.peak_kib) == 1;
  }
  fclose(file);
  memory.known = found == 2;
  return memory;
}

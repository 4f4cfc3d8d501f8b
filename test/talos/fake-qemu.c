// Stands for the real QEMU: says in files of $FAKE_QEMU_OUT how it was started, and ends with
// status 7. Asked for its -version it is as old as the file beside it says (PROGRAM.version: a
// version, then the options that its `-netdev stream` has).
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char* folder;

static FILE* open_out(const char* name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return fopen(path, "w");
}

static void copy(const char* name) {
  char path[64], bytes[65536];
  snprintf(path, sizeof path, "/proc/self/%s", name);
  FILE* in = fopen(path, "r");
  FILE* out = open_out(name);
  for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;) fwrite(bytes, 1, n, out);
  fclose(in);
  fclose(out);
}

static int version(int argc, char** argv) {
  char path[4096], text[256] = "";
  snprintf(path, sizeof path, "%s.version", argv[0]);
  FILE* file = fopen(path, "r");
  if (file == NULL || fgets(text, sizeof text, file) == NULL) return 1;
  fclose(file);
  text[strcspn(text, "\n")] = '\0';
  static const char* const parts[] = {"stream,", ",reconnect-ms=", ",reconnect="};
  static const char* const names[] = {" stream", " reconnect-ms", " reconnect "};
  for (int i = 1; i + 1 < argc; i++) {
    for (int part = 0; part < 3; part++) {
      if (strstr(argv[i], parts[part]) != NULL && strstr(text, names[part]) == NULL) return 1;
    }
  }
  printf("QEMU emulator version %.*s (made for a test)\n", (int)strcspn(text, " "), text);
  return 0;
}

int main(int argc, char** argv) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  folder = getenv("FAKE_QEMU_OUT");
  if (argc > 1 && strcmp(argv[argc - 1], "-version") == 0) return version(argc, argv);
  DIR* descriptors = opendir("/proc/self/fd");
  char numbers[4096] = "";
  for (struct dirent* each; (each = readdir(descriptors)) != NULL;) {
    int number = atoi(each->d_name);
    if (*each->d_name == '.' || number == dirfd(descriptors)) continue;
    snprintf(numbers + strlen(numbers), sizeof numbers - strlen(numbers), "%d ", number);
  }
  FILE* out = open_out("fd");
  fputs(numbers, out);
  fclose(out);
  for (const char* const* name = (const char* const[]){"cmdline", "environ", "limits", "status", 0};
       *name; name++) {
    copy(*name);
  }
  out = open_out("started");
  fprintf(out, "%lld", now.tv_sec * 1000000000LL + now.tv_nsec);
  fclose(out);
  return 7;
}

// socket_vmnet_client SOCKET [--] CMD ARGS...: connects to the switch and becomes CMD, which finds
// the socket on the lowest descriptor that was free: 3, where 0, 1 and 2 are open. Nothing else:
// PID, environment and signals stay, and nothing is said unless it fails. Other programs (minikube)
// look for these very lines.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// The connected socket, left open across exec; or -1, and errno says why.
static int dial(const char* path) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) {
    // Linux would read an empty path as an address of another kind.
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, length);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  if (connect(fd, (const struct sockaddr*)&address, sizeof address) == 0) return fd;
  int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

int main(int argc, char** argv) {
  char** command = argc > 2 ? argv + 2 : NULL;
  if (command != NULL && strcmp(*command, "--") == 0) command++;
  if (command == NULL || *command == NULL) {
    fprintf(stderr, "Usage: %s SOCKET [--] COMMAND [ARGS...]\n",
            argc > 0 ? argv[0] : "socket_vmnet_client");
    return 1;
  }
  int fd = dial(argv[1]);
  if (fd < 0) {
    fprintf(stderr, "Failed to connect to \"%s\": %s\n", argv[1], strerror(errno));
    return 1;
  }
  execvp(*command, command);
  int reason = errno;
  // Where descriptor 2 was closed, the socket has it now, and the words would go to the switch.
  close(fd);
  fprintf(stderr, "Failed to exec \"%s\": %s\n", *command, strerror(reason));
  return 1;
}

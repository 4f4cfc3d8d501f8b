/**
 * How long a Unix socket's path may be, in bytes: the room of sun_path without its closing NUL (sys/un.h: 104 on macOS,
 * 108 on Linux).
 */

export const MAC_SOCKET_PATH = 103

/** On this system. */
export const MAX_SOCKET_PATH = process.platform === 'darwin' ? MAC_SOCKET_PATH : 107

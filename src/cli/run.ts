/**
 * `vmbridge run`: connects to the switch and becomes the program, with the socket on descriptor 3: a stream, or one end of
 * a pair of datagram sockets that the daemon gave. The program finds its PID, descriptors, signals and limits as this command found them (native/process.h).
 */

import { closeSync, writeSync } from 'node:fs'
import { findInRun, SOCKET_NAME } from '../config/paths.js'
import { BridgeError, hasCode, UsageError } from '../errors.js'
import { bytesOf, native } from '../native.js'
import { shellQuote } from '../shell.js'
import type { Command, Parsed } from './options.js'

export const command: Command = {
  name: 'run',
  operands: '[--] CMD ARGS...',
  summary:
    'Starts a program with a port of the switch on descriptor 3: same PID, its exit status passes through.',
  passthrough: true,
  options: {
    socket: {
      value: 'PATH',
      environmentList: true,
      help: 'the socket of the switch',
      fallback: "the daemon's default socket",
    },
    dgram: { help: 'descriptor 3 is a datagram socket: each datagram is a frame' },
  },
  examples: [
    [
      'vmbridge run -- qemu-system-x86_64 ... -netdev socket,id=net0,fd=3 -device virtio-net-pci,netdev=net0',
      'a VM on the segment',
    ],
    ['vmbridge run --socket /tmp/lab.sock -- ./my-vm', 'on the switch that listens at /tmp/lab.sock'],
    [
      'vmbridge run --dgram -- qemu-system-x86_64 ... -netdev dgram,id=net0,local.type=fd,local.str=3 -device virtio-net-pci,netdev=net0',
      'by datagrams, as Virtualization.framework wants them, too',
    ],
  ],
}

/** As env(1) and nohup(1) have it. */
const EXIT_NOT_EXECUTABLE = 126
const EXIT_NOT_FOUND = 127

export async function run({ get, has, operands }: Parsed): Promise<number> {
  const [file] = operands
  if (file === undefined) throw new UsageError('run needs a program to start', 'vmbridge run --help')
  const inherited = process.env['VMBRIDGE_INHERITED']
  const socket = get('socket') ?? findInRun(SOCKET_NAME)
  const stream = dial(socket)
  const fd = has('dgram') ? askForDatagrams(socket, stream) : stream
  try {
    return native.exec({
      args: bytesOf(operands),
      fd,
      ...(inherited === undefined ? {} : { inherited }),
    })
  } catch (error) {
    writeSync(2, `vmbridge: cannot start ${file}: ${error instanceof Error ? error.message : error}\n`)
    return hasCode(error, 'ENOENT') ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE
  }
}

/** @throws BridgeError ERR_NO_DATAGRAMS */
function askForDatagrams(path: string, stream: number): number {
  try {
    return native.askForDatagrams(stream)
  } catch (error) {
    const reason = hasCode(error, 'EPROTONOSUPPORT')
      ? ''
      : ` (${error instanceof Error ? error.message : error})`
    throw new BridgeError('ERR_NO_DATAGRAMS', `what answers at ${path} gives no datagram sockets${reason}`, {
      hint: 'leave --dgram out, or restart the daemon if it is an older vmbridge',
      cause: error,
    })
  } finally {
    closeSync(stream)
  }
}

/** @throws BridgeError ERR_NO_DAEMON, with the command that starts one */
export function dial(path: string, nonBlocking = false): number {
  try {
    return native.dial(path, nonBlocking)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (hasCode(error, 'EACCES')) {
      throw new BridgeError('ERR_NO_DAEMON', `no right to connect to ${path}`, {
        hint: 'use sudo, or start the daemon with --socket-group and join that group',
        cause: error,
      })
    }
    throw new BridgeError('ERR_NO_DAEMON', `no daemon answers at ${path} (${reason})`, {
      hint: `vmbridge daemon --socket ${shellQuote(path)}`,
      cause: error,
    })
  }
}

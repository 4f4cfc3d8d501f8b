/**
 * `vmbridge plug`: makes a network namespace a host on the segment. A TAP stands in the namespace, and this
 * process is a switch of two ports between it and the daemon's socket, so it needs no more of the daemon than a
 * VM does. It ends when the TAP, the namespace or the daemon does, or by a signal.
 */

import { isAbsolute, join } from 'node:path'
import { findInRun, SOCKET_NAME } from '../config/paths.js'
import { UsageError } from '../errors.js'
import { native } from '../native.js'
import { streamPort, tapPort } from '../ports/run-port.js'
import { openTap } from '../ports/tap.js'
import { Port } from '../switch/port.js'
import { Run } from '../switch/run.js'
import { Switch } from '../switch/switch.js'
import { random32 } from '../random.js'
import { maxFrameOf } from '../uplink/uplink.js'
import { formatMac, macAt, parseMac, writeMac } from '../wire/mac.js'
import type { Command, Parsed } from './options.js'
import { parseMtu } from './values.js'
import { dial } from './run.js'

export const command: Command = {
  name: 'plug',
  operands: 'NAME',
  summary:
    'Makes a TAP called NAME in this or a named network namespace, as a port of the switch (Linux, root).',
  options: {
    socket: {
      value: 'PATH',
      environmentList: true,
      help: 'the socket of the switch',
      fallback: "the daemon's default socket",
    },
    netns: { value: 'NS', help: 'a namespace of `ip netns`, or the path of one', fallback: 'this one' },
    mac: { value: 'MAC', help: 'the MAC address of the TAP', fallback: "the kernel's choice" },
    mtu: { value: 'N', help: 'the MTU of the TAP in bytes', fallback: '1500' },
  },
  examples: [
    [
      'ip netns add web; vmbridge plug eth0 --netns web &',
      'the namespace "web" is a host; ask for an address with',
    ],
    ['ip netns exec web udhcpc -i eth0', '(or dhclient, or dhcpcd)'],
    ['vmbridge plug lab0 --mac 52:54:00:12:34:56', 'a second device of this host on the segment'],
  ],
}

export async function run({ get, operands }: Parsed): Promise<undefined> {
  const [name, extra] = operands
  if (name === undefined || extra !== undefined) {
    throw new UsageError('plug needs the name of one device', 'vmbridge plug --help')
  }
  const netns = get('netns')
  const mtu = parseMtu(get('mtu') ?? '1500')
  const macText = get('mac')
  const mac = macText === undefined ? undefined : stationMac(macText)
  const fd = dial(get('socket') ?? findInRun(SOCKET_NAME), true)
  const tap = openTap({
    name,
    mtu,
    ...(netns === undefined ? {} : { netns: isAbsolute(netns) ? netns : join('/var/run/netns', netns) }),
    ...(mac === undefined ? {} : { mac }),
  })

  process.title = `vmbridge plug ${tap.name}` // what `vmbridge status` shows of the port's other end
  const context = { switch: new Switch({ clock: native, random32 }), run: Run.allocate() }
  const end = (message: string, status: number): void => {
    process.stderr.write(`vmbridge: ${message}\n`)
    process.exit(status)
  }
  streamPort({
    ...context,
    fd,
    port: new Port({ name: 'daemon', role: 'vm', maxFrame: maxFrameOf(mtu) }),
    onEnd: reason => end(`the daemon closed the connection (${reason})`, 1),
  })
  tapPort({
    ...context,
    fd: tap.fd,
    port: new Port({ name: tap.name, role: 'vm', maxFrame: maxFrameOf(mtu) }),
    onEnd: () => end(`${tap.name} is gone`, 0),
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(0))
  const { hi, lo } = macAt(tap.mac, 0)
  process.stdout.write(`${tap.name} ${formatMac(hi, lo)} is on the segment\n`)
  return undefined
}

function stationMac(text: string): Uint8Array {
  const mac = parseMac(text)
  if (mac === undefined || (mac.hi & 0x0100) !== 0) {
    throw new UsageError(`--mac ${text} is not the MAC address of a station`, '--mac 52:54:00:12:34:56')
  }
  const bytes = new Uint8Array(6)
  writeMac(bytes, 0, mac.hi, mac.lo)
  return bytes
}

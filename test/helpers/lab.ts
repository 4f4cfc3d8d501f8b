// The smallest real segment: a network namespace as the host, with the daemon and its uplink in it, and two VMs.
// A comes by descriptor (`vmbridge run`), B dials the socket itself; neither can reach the namespace by any
// way but the switch.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Child } from './child.js'
import { type Daemon, type Scope, startDaemon } from './daemon.js'
import { FD3_NETDEV, Guest, type GuestOptions, streamNetdev } from './guest.js'
import type { Host } from './host.js'
import { NetNs } from './netns.js'
import { VMBRIDGE } from './root.js'

export const TAP = 'vbtap0'
export const HOST_IP = '192.168.105.1'
export const TEN_MB = 10_000_000

/** The host, and the daemon on it. */
export type HostLab = { host: Host; daemon: Daemon }
export type Lab = HostLab & { a: Guest; b: Guest }

export type LabOptions = {
  /** Where the daemon runs; a namespace of the lab's own unless told otherwise. */
  host?: Host
  /** The daemon's options for its uplink; a TAP named TAP unless told otherwise. */
  uplink?: readonly string[] | undefined
  env?: Record<string, string>
  /** More options of the daemon. */
  args?: readonly string[]
  /** A daemon that has ended, whose places the new one takes. */
  again?: Daemon
}

export type Neighbour = { dst: string; lladdr?: string; state: string[] }

async function namespace(t: Scope): Promise<Host> {
  const host = await NetNs.create()
  t.teardown(() => host.delete())
  return host
}

/** Host and daemon without a guest; both go with the test. */
export async function startHost(t: Scope, options: LabOptions = {}): Promise<HostLab> {
  const { uplink = ['--uplink', `tap:${TAP}`], args = [], env, again } = options
  const host = options.host ?? (await namespace(t))
  const daemon = await startDaemon(t, {
    netns: host,
    args: [...uplink, '--gateway', `${HOST_IP}/24`, ...args],
    ...(env ? { env } : {}),
    ...(again ? { again } : {}),
  })
  return { host, daemon }
}

/** Boots a guest that goes with the test. */
export async function bootGuest(t: Scope, options: GuestOptions): Promise<Guest> {
  const guest = await Guest.boot(options)
  t.teardown(() => guest.close())
  return guest
}

/** Host, daemon and both guests; all of it goes with the test. */
export async function startLab(t: Scope, options: LabOptions = {}): Promise<Lab> {
  const { host, daemon } = await startHost(t, options)
  const boot = (options: GuestOptions) => bootGuest(t, options)
  const booting = [
    boot({
      name: 'a',
      mac: '52:54:00:00:00:0a',
      wrap: [VMBRIDGE, 'run', '--socket', daemon.socket, '--'],
      netdev: FD3_NETDEV,
    }),
    boot({ name: 'b', mac: '52:54:00:00:00:0b', netdev: streamNetdev(daemon.socket) }),
  ] as const
  // Both boots are over, for good or ill, before the test may be: none is left for nobody to end.
  await Promise.allSettled(booting)
  const [a, b] = await Promise.all(booting)
  return { host, daemon, a, b }
}

/** Has the guest ask for a lease, and returns what it was told: udhcpc's variables (`ip`, `router`, …). */
export async function lease(guest: Guest): Promise<Record<string, string>> {
  await guest.sh('udhcpc -i eth0 -n -q -t 10 -T 1 -s /etc/udhcpc')
  const entries = (await guest.sh('cat /tmp/lease.env')).split('\n').map(line => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)] as const
  })
  return Object.fromEntries(entries)
}

/** The host's entry for an address, if it has one. */
export async function neighbour(host: Host, ip: string): Promise<Neighbour | undefined> {
  const entries = JSON.parse((await host.sh('ip', '-j', 'neigh', 'show', 'dev', TAP)) || '[]') as Neighbour[]
  return entries.find(entry => entry.dst === ip)
}

/** 10 MB of noise, or as many bytes as are said, on the guest's web server, and their checksum. */
export async function publishFromGuest(guest: Guest, bytes = TEN_MB): Promise<string> {
  await guest.sh(`mkdir -p /tmp/www && head -c ${bytes} /dev/urandom >/tmp/www/noise && httpd -h /tmp/www`)
  return (await guest.sh('sha256sum </tmp/www/noise')).slice(0, 64)
}

const FILE_SERVER = `
const file = require('node:fs').readFileSync(process.argv[1])
require('node:http').createServer((request, response) => response.end(file))
  .listen(80, '${HOST_IP}', () => console.log('listening'))
`

/** The same on the host; the server is a child in the namespace and goes with it. */
export async function publishFromHost(
  { host, daemon }: HostLab,
  bytes = TEN_MB,
): Promise<{ sum: string; server: Child }> {
  const noise = randomBytes(bytes)
  const path = join(daemon.directory, 'noise')
  writeFileSync(path, noise)
  const server = host.spawn([process.execPath, '-e', FILE_SERVER, path])
  await server.waitForLine(/^listening$/)
  return { sum: createHash('sha256').update(noise).digest('hex'), server }
}

/** The checksum of what a guest receives from a web server, on the host or on another guest. */
export async function fetchToGuest(guest: Guest, ip: string): Promise<string> {
  const command = `wget -q -O - http://${ip}/noise | sha256sum`
  return (await guest.sh(command, { timeoutMs: 60_000 })).slice(0, 64)
}

/** The checksum of what the host receives from a guest's web server. */
export async function fetchToHost({ host, daemon }: HostLab, ip: string): Promise<string> {
  const path = join(daemon.directory, `received-from-${ip}`)
  await host.sh(
    'curl',
    '--silent',
    '--show-error',
    '--fail',
    '--max-time',
    '25',
    '-o',
    path,
    `http://${ip}/noise`,
  )
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

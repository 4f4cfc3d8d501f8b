// The DHCP servers that are raced: how each is started on an empty lease file, how a client's namespace is joined to
// it, and what it has on disk when it is killed. Both have the same face: { name, at, pid, wirePid, kill(),
// kept(), stop() }; `at` is { netns, device } of the client, `wirePid` the program that carries its frames, if one does.
//
// Both have the same subnet and range, the same file system, and their usual log, to /dev/null. What dnsmasq is told
// beyond that is in its favour: --no-ping, for its search for a free address with ICMP, which vmbridge does with ARP
// all the same, has it give the same address to several under load; --dhcp-authoritative, which spares it a look;
// --dhcp-lease-max, which is 1,000 otherwise.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { capture, firstOutput, launch, stopRacer, untilReady } from './children.js'
import { BenchError } from './errors.js'
import { addressDevice, closeNetns, inside, ip, openNetns } from './netns.js'
import { connectable, daemonIn, vmbridge } from './racers.js'
import { ownFolder } from './scratch.js'

const GATEWAY = '10.9.0.1/16'
const CLIENT = '10.9.0.2/16'
const RANGE = ['10.9.1.0', '10.9.250.0']
const DEVICE = 'eth0'
const ASK_MS = 30_000

/** Exchanges of one run, at most: a port of vmbridge may hold four fifths of the 63,745 addresses. */
export const MOST_CLIENTS = 50_000

/** The daemon of this checkout, and a namespace that `vmbridge plug` has joined. */
export async function startVmbridgeDhcp(scratch) {
  const folder = ownFolder(scratch)
  const netns = openNetns()
  const daemon = await startDaemon(folder)
  const socket = join(folder, 'vm')
  const plug = launch('vmbridge plug', [vmbridge, 'plug', DEVICE, '--socket', socket, '--netns', netns])
  await firstOutput(plug)
  addressDevice(netns, DEVICE, CLIENT)
  const kill = () => {
    // `plug` would take the device's address away, and perfdhcp ends without a word when it cannot send.
    plug.child.kill('SIGSTOP')
    return stopRacer(daemon, 'SIGKILL')
  }
  return {
    name: 'vmbridge',
    at: { netns, device: DEVICE },
    pid: daemon.child.pid,
    wirePid: plug.child.pid,
    kill,
    // What a daemon knows that starts on the files of the one that was killed.
    async kept() {
      await kill()
      const next = await startDaemon(folder)
      const addresses = await askLeases(folder)
      await stopRacer(next)
      return addresses
    },
    async stop() {
      await kill()
      await stopRacer(plug, 'SIGKILL')
      closeNetns(netns)
    },
  }
}

async function startDaemon(folder) {
  const socket = join(folder, 'vm')
  const network = ['--uplink', 'none', '--gateway', GATEWAY, '--dhcp-range', RANGE.join('-')]
  const daemon = launch('vmbridge', [...daemonIn(folder, socket), ...network], { quiet: true })
  for (const path of [socket, join(folder, 'control')]) await connectable(daemon, path)
  return daemon
}

async function askLeases(folder) {
  const command = [vmbridge, 'leases', '--json', '--control', join(folder, 'control')]
  const { status, stdout, stderr } = await capture('vmbridge leases', command, { timeoutMs: ASK_MS })
  if (status !== 0) throw new BenchError(`vmbridge leases exits ${status}\n${stderr}`)
  return JSON.parse(stdout).leases.map(({ ip }) => ip)
}

/** dnsmasq in a namespace of its own, at the other end of a veth pair. */
export async function startDnsmasq(scratch) {
  const leases = join(ownFolder(scratch), 'leases')
  const netns = openNetns()
  const server = openNetns()
  ip('link', 'add', DEVICE, 'netns', netns, 'type', 'veth', 'peer', 'name', DEVICE, 'netns', server)
  addressDevice(server, DEVICE, GATEWAY)
  addressDevice(netns, DEVICE, CLIENT)
  const dnsmasq = launch('dnsmasq', inside(server, dnsmasqCommand(leases)), { quiet: true })
  await untilReady(dnsmasq, () => existsSync(leases) && listens(dnsmasq.child.pid), 'did not listen')
  const kill = () => stopRacer(dnsmasq, 'SIGKILL')
  return {
    name: 'dnsmasq',
    at: { netns, device: DEVICE },
    pid: dnsmasq.child.pid,
    kill,
    async kept() {
      await kill()
      return readFileSync(leases, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(line => line.split(' ')[2])
    },
    async stop() {
      await kill()
      for (const name of [netns, server]) closeNetns(name)
    },
  }
}

function dnsmasqCommand(leases) {
  const nothingElse = [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--port=0',
    '--no-hosts',
    '--no-resolv',
  ]
  const network = [
    `--interface=${DEVICE}`,
    '--bind-interfaces',
    `--dhcp-range=${RANGE.join(',')},255.255.0.0,1h`,
  ]
  const favours = ['--no-ping', '--dhcp-authoritative', '--dhcp-lease-max=100000']
  const files = [`--dhcp-leasefile=${leases}`, '--pid-file=', '--log-facility=-']
  return ['dnsmasq', ...nothingElse, ...network, ...favours, ...files]
}

// Whether its namespace has a socket on the DHCP server's port (67, 0x43).
const listens = pid => / 00000000:0043 /.test(readFileSync(`/proc/${pid}/net/udp`, 'utf8'))

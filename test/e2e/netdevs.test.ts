// Contract, acceptance 7: real QEMU on every kind of -netdev that can reach a switch, by the QEMU that is installed
// (7.2 on Debian 12) and by QEMU 10. Whatever the kind, the guest is a host like any other: it leases an address,
// pings and is pinged, moves bytes both ways unchanged, and the status shows it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Daemon } from '../helpers/daemon.js'
import { FD3_NETDEV, type Guest, type GuestOptions, QEMU_10, streamNetdev } from '../helpers/guest.js'
import {
  bootGuest,
  fetchToGuest,
  fetchToHost,
  HOST_IP,
  type HostLab,
  lease,
  publishFromGuest,
  publishFromHost,
  startHost,
} from '../helpers/lab.js'
import { GUEST_LAB, requires } from '../helpers/requires.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'

t.setTimeout(600_000)

const BYTES = 3_000_000
const CLIENT = join(ROOT, 'build/Release/socket_vmnet_client')

/** The sockets of a story: where a QEMU listens that is dialled, where datagrams go, and where a QEMU is bound. */
type Places = { daemon: Daemon; listening: string; dgram: string; bound: string }

type Kind = {
  name: string
  guest: (places: Places) => Pick<GuestOptions, 'netdev' | 'wrap'>
}

const runs = (daemon: Daemon) => [VMBRIDGE, 'run', '--socket', daemon.socket, '--']
const runsByDatagrams = (daemon: Daemon) => [VMBRIDGE, 'run', '--dgram', '--socket', daemon.socket, '--']

const KINDS: readonly Kind[] = [
  {
    name: 'stream, by path (server=off)',
    guest: ({ daemon }) => ({ netdev: streamNetdev(daemon.socket) }),
  },
  {
    name: 'stream, by path (server=on), with --dial',
    guest: ({ listening }) => ({ netdev: `stream,id=n,server=on,addr.type=unix,addr.path=${listening}` }),
  },
  {
    name: 'stream, by descriptor, with vmbridge run',
    guest: ({ daemon }) => ({
      netdev: 'stream,id=n,server=off,addr.type=fd,addr.str=3',
      wrap: runs(daemon),
    }),
  },
  {
    name: 'socket,fd=3, with vmbridge run',
    guest: ({ daemon }) => ({ netdev: FD3_NETDEV, wrap: runs(daemon) }),
  },
  {
    name: 'socket,fd=3, with socket_vmnet_client',
    guest: ({ daemon }) => ({ netdev: FD3_NETDEV, wrap: [CLIENT, daemon.socket] }),
  },
  {
    name: 'socket,fd=3, with vmbridge run --dgram',
    guest: ({ daemon }) => ({ netdev: FD3_NETDEV, wrap: runsByDatagrams(daemon) }),
  },
  {
    name: 'dgram, by descriptor, with vmbridge run --dgram',
    guest: ({ daemon }) => ({
      netdev: 'dgram,id=n,local.type=fd,local.str=3',
      wrap: runsByDatagrams(daemon),
    }),
  },
  {
    name: 'dgram, by two paths',
    guest: ({ dgram, bound }) => ({
      netdev: `dgram,id=n,local.type=unix,local.path=${bound},remote.type=unix,remote.path=${dgram}`,
    }),
  },
]

/** What every guest must be able to do, whatever its netdev. `sumOfHost` is that of the host's file. */
async function storyOfTheGuest(t: Test, lab: HostLab, guest: Guest, sumOfHost: string): Promise<void> {
  const { host, daemon } = lab
  const { ip } = await lease(guest)
  t.match(ip, /^192\.168\.105\.\d+$/, 'it leases an address by DHCP')
  t.match(await guest.sh(`ping -c 1 -W 5 ${HOST_IP}`), / 0% packet loss/, 'it pings the host')
  t.match(await host.sh('ping', '-n', '-c', '2', '-i', '0.1', '-W', '5', ip), / 0% packet loss/, 'and back')
  const sum = await publishFromGuest(guest, BYTES)
  t.equal(await fetchToHost(lab, ip), sum, '3 MB from it arrive as they were sent')
  t.equal(await fetchToGuest(guest, HOST_IP), sumOfHost, '3 MB to it likewise')

  const port = (await daemon.status()).networks[0].ports.find(({ macs }) => macs.includes(guest.mac))
  t.equal(port?.role, 'vm', 'the status has its port')
  t.strictSame(port?.ips, [ip], 'with its address')
  t.ok(port!.rx.bytes > BYTES && port!.tx.bytes > BYTES, 'and with what went by')
  t.equal(port?.peer?.pid, guest.pid, 'and its PID')

  await guest.close()
  // Who speaks datagrams is missed when something is sent to it.
  const ping = host.spawn(['ping', '-n', ip])
  await daemon.waitForLog(entry => entry.event === 'port.down' && entry['port'] === port?.name)
  await ping.close()
  t.pass('the port goes with its QEMU')
}

for (const { name, qemu, needs } of [
  { name: 'the installed QEMU', qemu: 'qemu-system-aarch64', needs: GUEST_LAB },
  { name: 'QEMU 10', qemu: QEMU_10, needs: [...GUEST_LAB, 'qemu-10'] },
]) {
  t.test(`every kind of netdev, on ${name}`, { skip: requires(needs) }, async t => {
    const directory = mkdtempSync(join(tmpdir(), 'vbt-'))
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    const [listening, dgram, bound] = ['l', 'd', 'b'].map(name => join(directory, name))
    const lab = await startHost(t, { args: ['--dial', listening, '--dgram', dgram] })
    const places = { daemon: lab.daemon, listening, dgram, bound }
    const { sum } = await publishFromHost(lab, BYTES)

    const boot = ({ guest }: Kind, n: number) =>
      bootGuest(t, { name: `kind-${n}`, mac: `52:54:00:00:01:0${n}`, qemu, ...guest(places) })
    // Two at a time, for as many cores.
    for (let at = 0; at < KINDS.length; at += 2) {
      const pair = KINDS.slice(at, at + 2)
      const booting = pair.map((kind, n) => boot(kind, at + n))
      await Promise.allSettled(booting)
      const guests = await Promise.all(booting)
      for (const [n, kind] of pair.entries()) {
        await t.test(kind.name, t => storyOfTheGuest(t, lab, guests[n], sum))
      }
    }
  })
}

// The leases file of a real daemon, as minikube reads it: real udhcpc clients, by their MAC and by a DUID, beside a program
// that rewrites the file; a daemon that is killed, whose disk is full, or that may not write there any more.

import { existsSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bootpd, leftovers, until } from '../compat/leases.js'
import { addressByOctets, addressByText, parseLeases, readLeases } from '../compat/minikube.js'
import { scratch, vmbridge } from '../cli/command.js'
import { Station } from '../daemon/station.js'
import { Guest } from '../dhcp/crash-guest.js'
import * as option from '../../src/dhcp/options.js'
import { Child } from '../helpers/child.js'
import { Daemon, startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'
import { HOST_NEEDS, plug, recorder, startAlone } from './host.js'

t.setTimeout(120_000)

const UDHCPC = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-t', '10', '-T', '1']
/** A DUID-LL behind an IAID: what systemd-networkd and dhcpcd send. */
const DUID = '0x3d:ff0a00f10200030001020a000f0001'
const MACS = ['02:0a:00:0f:00:01', '02:00:00:00:00:0b'] as const

/** minikube's answer, both ways that it has had; undefined while there is none. */
function find(path: string, mac: string): string | undefined {
  const text = readLeases(path)
  const ip = addressByText(text, mac)
  return ip === addressByOctets(text, mac) ? ip : undefined
}

t.test(
  'minikube finds real clients, leading-zero octets and DUID clients too',
  { skip: requires(HOST_NEEDS) },
  async t => {
    const path = join(scratch(t), 'leases')
    writeFileSync(path, bootpd('192.168.64.2', '2:0:0:0:0:99') + bootpd('192.168.105.77', '2:a:0:f:0:1'))
    const writer = Child.launch(
      [process.execPath, join(ROOT, 'dist/test/compat/leases-writer.js'), path, 'rename', '400', '9'],
      {
        stdin: true,
      },
    )
    t.teardown(() => writer.close())
    await writer.waitForLine(/^begun$/)
    const daemon = await startAlone(t, '--leases-file', path, '--lease-time=60')
    await daemon.waitForLog(({ event }) => event === 'leases-file.ready')
    const clients = await Promise.all(
      MACS.map(async (mac, i) => {
        const ns = await plug(t, daemon, mac)
        const { script, told } = recorder(t)
        const identity = i === 0 ? ['-x', DUID] : ['-C', '-x', 'hostname:beta']
        const client = ns.spawn([...UDHCPC, '-s', script, ...identity])
        t.teardown(() => client.close())
        await client.waitForLine(/^event bound$/)
        return { mac, client, ip: told()['ip']! }
      }),
    )
    await writer.waitForLine(/^done$/, { timeoutMs: 60_000 })
    const isFound = () => clients.every(({ mac, ip }) => find(path, mac) === ip)
    await until(isFound, 'both are found')
    // It has put back all day what it read in the beginning.
    writer.stdin!.write('\n')
    await writer.exited
    await until(isFound, 'both are found again')
    t.equal(find(path, '2:0:0:0:0:99'), '192.168.64.2', 'and what others lease')
    t.equal(find(path, '2:9:0:0:0:6'), '172.16.9.6')
    const entries = parseLeases(readLeases(path))
    t.match(
      entries.find(({ hardware }) => hardware === '2:a:0:f:0:1'),
      { identifier: 'ff,a:0:f1:2:0:3:0:1:2:a:0:f:0:1', lease: /^0x[0-9a-f]{8}$/ },
    )
    t.match(
      entries.find(({ hardware }) => hardware === '2:0:0:0:0:b'),
      { name: 'beta', identifier: '1,2:0:0:0:0:b' },
    )

    await t.test('they stay while the daemon is down, and after its restart', async t => {
      await daemon.stop()
      t.ok(isFound())
      t.same(leftovers(path), [])
    })

    const second = await startDaemon(t, {
      args: ['--uplink', 'none', '--leases-file', path, '--lease-time=60'],
      stateDir: daemon.stateDir,
    })
    await second.waitForLog(({ event }) => event === 'leases-file.ready')
    await t.test('a lease that a person ends goes', async t => {
      const [{ ip, mac }, other] = clients as [(typeof clients)[0], (typeof clients)[0]]
      const { status } = await vmbridge(['leases', 'release', ip, '--control', second.control])
      t.equal(status, 0)
      await until(() => find(path, mac) === undefined, 'it is gone')
      t.equal(find(path, other.mac), other.ip)
    })
  },
)

t.test(
  'a daemon that is killed while leases change leaves a whole file, and its next start the right one',
  async t => {
    const path = join(scratch(t), 'leases')
    const args = ['--uplink', 'none', '--leases-file', path]
    const stateDir = join(scratch(t), 'state')
    const acknowledged = new Map<number, string>()
    for (let round = 1; round <= 3; round++) {
      const daemon = await startDaemon(t, { args, stateDir })
      await until(
        () => [...acknowledged.keys()].every(n => find(path, mac(n)) !== undefined),
        'those of before',
      )
      const station = await Station.plug(t, daemon)
      for (let n = 10 * round; n < 10 * round + 10; n++)
        acknowledged.set(n, await new Guest(station, n).lease())
      daemon.child.kill('SIGKILL')
      await daemon.child.exited
      t.doesNotThrow(() => parseLeases(readLeases(path)))
      for (const { ip, hardware } of parseLeases(readLeases(path))) {
        const n = Number.parseInt(hardware.split(':').at(-1)!, 16)
        if (acknowledged.get(n) !== ip) t.fail(`${hardware} has ${ip}`)
      }
    }
    const last = await startDaemon(t, { args, stateDir })
    t.equal(acknowledged.size, 30)
    await until(() => [...acknowledged].every(([n, ip]) => find(path, mac(n)) === ip), 'all of them')
    await last.stop()
    t.same(leftovers(path), [])
  },
)

/** Of the guest of that number. */
const mac = (n: number): string => `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`

/** A daemon with its leases file on a file system of its own of 16 KiB, and that folder as it sees it. */
async function startOnSmallDisk(t: Test): Promise<{ daemon: Daemon; folder: string }> {
  const directory = scratch(t)
  const place = join(directory, 'db')
  mkdirSync(place)
  const script = 'mount -t tmpfs -o size=16k,mode=755 tmpfs "$0" && exec "$@"'
  const prefix = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, place]
  const state = join(directory, 'state')
  const paths = ['--socket', join(directory, 's'), '--control', join(directory, 'c'), '--state-dir', state]
  const rest = ['--uplink', 'none', '--log-format', 'json', '--leases-file', join(place, 'leases')]
  const child = Child.launch([...prefix, VMBRIDGE, 'daemon', ...paths, ...rest])
  const daemon = new Daemon(child, directory, state)
  t.teardown(() => daemon.stop())
  await daemon.waitForLog(({ event }) => event === 'daemon.ready')
  return { daemon, folder: join('/proc', `${daemon.pid}`, 'root', place) }
}

t.test(
  'a full disk: said once, leases are given all the same, and the file follows when there is room',
  { skip: requires(['linux', 'root', 'unshare', 'mount']) },
  async t => {
    const { daemon, folder } = await startOnSmallDisk(t)
    const path = join(folder, 'leases')
    const station = await Station.plug(t, daemon)
    const first = await new Guest(station, 1).lease()
    await until(() => find(path, mac(1)) === first, 'the first is there')
    const ballast = join(folder, 'ballast')
    t.throws(() => writeFileSync(ballast, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' })
    const guest = new Guest(station, 2)
    const second = await guest.lease()
    const { msg } = await daemon.waitForLog(({ event }) => event === 'leases-file.failed', 20_000)
    t.match(msg, /leases is not kept.*ENOSPC/)
    t.equal(await guest.renew(second), option.ACK)
    t.equal(find(path, mac(1)), first, 'the file is as it was')
    truncateSync(ballast)
    await daemon.waitForLog(({ event }) => event === 'leases-file.kept', 20_000)
    t.equal(find(path, mac(1)), first)
    t.equal(find(path, mac(2)), second)
    rmSync(ballast)
    t.same(leftovers(path), [])
    t.equal(daemon.log.filter(({ event }) => event === 'leases-file.failed').length, 1)
  },
)

t.test(
  '--user: who may not write there any more says so, once, and serves',
  { skip: requires(['root', 'linux']) },
  async t => {
    const path = join(scratch(t), 'leases')
    const daemon = await startDaemon(t, {
      args: ['--uplink', 'none', '--user', 'daemon', '--leases-file', path],
      stateDir: join(scratch(t), 'state'),
    })
    const station = await Station.plug(t, daemon)
    const guest = new Guest(station, 1)
    const ip = await guest.lease()
    const { msg } = await daemon.waitForLog(({ event }) => event === 'leases-file.failed', 20_000)
    t.match(msg, /EACCES.*let this user write to .*, or choose another --leases-file, or none/)
    t.equal(await guest.renew(ip), option.ACK)
    await daemon.stop()
    t.equal(daemon.log.filter(({ event }) => event === 'leases-file.failed').length, 1)
    t.notOk(existsSync(path), 'without a lease there was none, when it was root')
  },
)

t.test(
  '--user: in a folder of its own it goes on',
  { skip: requires(['root', 'linux', 'chown']) },
  async t => {
    const folder = scratch(t)
    const path = join(folder, 'leases')
    await Child.launch(['chown', 'daemon', folder]).exited
    const daemon = await startDaemon(t, {
      args: ['--uplink', 'none', '--user', 'daemon', '--leases-file', path],
      stateDir: join(scratch(t), 'state'),
    })
    const station = await Station.plug(t, daemon)
    const ip = await new Guest(station, 1).lease()
    await until(() => find(path, mac(1)) === ip, 'it is there')
    t.equal(statSync(path).mode & 0o777, 0o644)
  },
)

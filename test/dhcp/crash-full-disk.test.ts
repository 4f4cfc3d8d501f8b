// A state folder that is full, on a real file system: tmpfs of 64 KiB, that nobody but the daemon sees.

import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { Station } from '../daemon/station.js'
import { Child } from '../helpers/child.js'
import { Daemon, type Scope } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { Guest } from './crash-guest.js'

t.setTimeout(60_000)

const NEEDS = ['linux', 'root', 'unshare', 'mount']

/** A daemon whose state folder is a small file system of its own. */
async function startOnSmallDisk(t: Scope): Promise<Daemon> {
  const directory = mkdtempSync(join(tmpdir(), 'vbt-'))
  const stateDir = join(directory, 'state')
  mkdirSync(stateDir)
  const script = 'mount -t tmpfs -o size=64k,mode=700 tmpfs "$0" && exec "$@"'
  const prefix = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, stateDir]
  const paths = ['--socket', join(directory, 's'), '--control', join(directory, 'c'), '--state-dir', stateDir]
  const argv = [VMBRIDGE, 'daemon', ...paths, '--uplink', 'none', '--log-format', 'json']
  const child = Child.launch([...prefix, ...argv])
  const daemon = new Daemon(child, directory, stateDir)
  t.teardown(async () => {
    await daemon.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  await daemon.waitForLog(entry => entry.event === 'daemon.ready')
  return daemon
}

/** Fills what is left; what it returns makes room again. */
function fillUp(path: string): () => void {
  for (let size = 4096; size > 0; size = size >> 1) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
  return () => truncateSync(path)
}

/** Whether the daemon says that it cannot save leases. */
async function isDegraded(daemon: Daemon): Promise<unknown> {
  const [network] = (await daemon.status()).networks as unknown as { dhcp: { degraded: boolean } }[]
  return network?.dhcp.degraded
}

t.test(
  'a full disk: known guests keep their leases, new ones wait for room',
  { skip: requires(NEEDS) },
  async t => {
    const daemon = await startOnSmallDisk(t)
    const station = await Station.plug(t, daemon)
    const [known, late, fresh] = [1, 2, 3].map(n => new Guest(station, n)) as [Guest, Guest, Guest]
    const address = await known.lease()
    const offered = await late.discover()
    t.equal(await isDegraded(daemon), false)

    // The daemon's own view of its state folder, which the mount hides from us.
    const makeRoom = fillUp(join('/proc', `${daemon.pid}`, 'root', daemon.stateDir, 'ballast'))
    const isStoreError = ({ event, level }: { event?: string; level?: unknown }): boolean =>
      event === 'dhcp.store' && level === 50
    // Appends go into the page that the journal has already, until that is full.
    let renewals = 0
    while (!daemon.log.some(isStoreError) && renewals++ < 100) {
      t.equal(await known.renew(address), option.ACK)
    }
    const error = daemon.log.find(isStoreError)
    t.match(error, { err: { code: 'ERR_LEASE_STORE' }, msg: /ERR_LEASE_STORE: no new leases .* ENOSPC/ })
    t.equal(await isDegraded(daemon), true)

    t.equal(await known.renew(address), option.ACK, 'a known one is renewed')
    t.equal(await known.reboot(address), option.ACK, 'or starts again')
    t.not(await late.select(offered), option.ACK, 'a new one is refused')
    fresh.tell()
    t.equal(await known.renew(address), option.ACK)
    const { leases } = (await daemon.status()).networks[0]!
    t.match(leases, [{ ip: address }], 'and leaves no trace')
    t.equal(daemon.log.filter(isStoreError).length, 1, 'one error in all')

    const from = Date.now()
    makeRoom()
    await daemon.waitForLog(({ msg }) => msg === 'leases are saved again')
    t.ok(Date.now() - from < 4000, 'found out without anybody asking')
    t.equal(await isDegraded(daemon), false)
    t.not(await fresh.lease(), address, 'and new ones are served')
  },
)

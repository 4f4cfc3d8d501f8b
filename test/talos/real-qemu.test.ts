// Real QEMUs take what a stand-in makes of their command line: the keepalive plugs in, as the same process, and its port
// comes back after a restart of the daemon where that QEMU has a way.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startDaemon, type Daemon, type LogEntry } from '../helpers/daemon.js'
import { QEMU_10 } from '../helpers/guest.js'
import { requires } from '../helpers/requires.js'
import { keepaliveLine } from './lines.js'
import { place, startStandIn } from './place.js'
import { FakeDaemon } from './stand-in-daemon.js'

t.setTimeout(300_000)

const NAME = 'qemu-system-aarch64'
const PATIENCE = 60_000

const isPortOf =
  (pid: number) =>
  ({ event, pid: peer }: LogEntry) =>
    event === 'port.up' && peer === pid

async function keepalive(t: Test, qemu: string) {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const where = await place(t, { qemu: { [NAME]: qemu } })
  const routes = await new FakeDaemon(t, where.control).start()
  routes.socketOf = () => daemon.socket
  const child = startStandIn(where, keepaliveLine())
  t.teardown(() => child.close())
  return { daemon, child }
}

for (const [what, qemu, needs] of [
  ['the installed QEMU', `/usr/bin/${NAME}`, NAME],
  ['QEMU 10', QEMU_10, 'qemu-10'],
]) {
  t.test(
    `${what}: the keepalive plugs in with its PID`,
    { skip: requires(['linux', 'cc', 'perl', 'unshare', needs]) },
    async t => {
      const { daemon, child } = await keepalive(t, qemu)
      await daemon.waitForLog(isPortOf(child.pid), PATIENCE)
      const [program] = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').split('\0')
      t.equal(program, qemu)
    },
  )
}

t.test(
  'QEMU 10: the keepalive is back after the daemon was restarted',
  { skip: requires(['linux', 'cc', 'perl', 'unshare', 'qemu-10']) },
  async t => {
    const { daemon, child } = await keepalive(t, QEMU_10)
    await daemon.waitForLog(isPortOf(child.pid), PATIENCE)
    await daemon.child.close('SIGTERM')
    const next: Daemon = await startDaemon(t, { args: ['--uplink', 'none'], again: daemon })
    await next.waitForLog(isPortOf(child.pid), PATIENCE)
    t.equal(join(next.directory, 's'), daemon.socket)
  },
)

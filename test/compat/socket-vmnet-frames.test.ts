// The contract's points about frames, at the socket of socket_vmnet, with a TAP as its network.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Child } from '../helpers/child.js'
import { NetNs } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'
import { acceptance } from './acceptance.js'

t.setTimeout(240_000)

const NEEDS = ['linux', 'root', 'tap', 'ip', 'unshare']
const SCRIPT = join(ROOT, 'dist/src/compat/socket-vmnet.js')
// What it keeps as root lies below /var/lib: a folder of the test lies over that.
const PRIVATE = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c']

t.test('socket_vmnet, acceptance', { skip: requires(NEEDS) }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'vbt-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const host = await NetNs.create()
  t.teardown(() => host.delete())
  const socket = join(folder, 's')
  const program = [process.execPath, SCRIPT, '--socket-group=root', '--vmnet-gateway=192.168.105.1', socket]
  const mounted = [...PRIVATE, 'mount --bind "$0" /var/lib && exec "$@"', folder, ...program]
  const child = Child.launch(host.wrap(mounted))
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/\bready\b/)
  await acceptance(t, { socket, control: `${socket}.control`, pid: child.pid })
})

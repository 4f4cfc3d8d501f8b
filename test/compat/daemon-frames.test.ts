// The contract's points about frames, at the daemon's socket.

import t from 'tap'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { acceptance } from './acceptance.js'

t.setTimeout(240_000)

t.test('vmbridge daemon, acceptance', { skip: requires(['linux']) }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  await acceptance(t, daemon)
})

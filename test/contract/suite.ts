// The contract that every uplink keeps, as a program for one of them: `node dist/test/contract/suite.js NAME
// [FRAMES]`. It prints TAP. It must run in a network namespace of its own, where it makes devices as it likes: the
// test files beside it see to that (run.ts).

import t from 'tap'
import type { Effort } from './cases/common.js'
import { floods } from './cases/floods.js'
import { frames } from './cases/frames.js'
import { gone } from './cases/gone.js'
import { lifecycle } from './cases/lifecycle.js'
import { stop } from './cases/stop.js'
import { vmnetCalls } from './cases/vmnet-calls.js'
import { vmnetIo } from './cases/vmnet-io.js'
import type { Kind } from './kind.js'
import { none } from './none.js'
import { socket } from './socket.js'
import { bridged, shared } from './tap-modes.js'
import { tap } from './tap.js'
import { vmnet } from './vmnet.js'

/** Milliseconds; whoever runs the suite is told. */
const TIME_LIMIT = 1_100_000

const KINDS: Record<string, Kind> = { tap, shared, bridged, socket, vmnet, none }

const [name, count = '1000000'] = process.argv.slice(2)
const kind = KINDS[name]
if (kind === undefined) throw new Error(`no uplink "${name}": one of ${Object.keys(KINDS).join(', ')}`)
const effort: Effort = { frames: Number(count), restarts: 50 }

// For the whole of it, also where nobody waits for a single case.
t.setTimeout(TIME_LIMIT)
lifecycle(t, kind, effort)
if (kind.reaches) {
  frames(t, kind, effort)
  floods(t, kind, effort)
  stop(t, kind, effort)
  gone(t, kind)
}
if (kind === vmnet) {
  vmnetIo(t, effort)
  vmnetCalls(t)
}

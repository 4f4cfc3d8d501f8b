/**
 * Whether VMs behind socketpairs are still there. On Linux the end of a datagram pair is not told that the other one
 * was closed, before it sends something; on a silent segment the port would stay for ever. So once the process that
 * asked for the pair is gone, or where nothing was ever heard, the port is sent a frame for nobody every few seconds:
 * the end shows then, and a VM that another process has inherited (QEMU's -daemonize) drops it.
 */

import { hasCode } from '../errors.js'
import { RX_FRAMES } from '../switch/counters.js'
import { LENGTH_BYTES } from '../switch/run.js'
import { emitEthernet } from '../wire/ethernet.js'
import type { DgramPort } from './run-port.js'

const LOOK_INTERVAL = 5000

/** Bytes of the shortest frame on a cable. */
const PROBE_FRAME = 60
/** To IEEE 802's address that no bridge forwards and no host listens to, from no station, of the experimental type. */
const PROBE_HEADER = {
  destination: { hi: 0x0180, lo: 0xc2000001 },
  source: { hi: 0, lo: 0 },
  type: 0x88b5,
}
const PROBE = probeRun()

function probeRun(): Uint8Array {
  const run = new Uint8Array(LENGTH_BYTES + PROBE_FRAME)
  new DataView(run.buffer).setUint32(0, PROBE_FRAME)
  emitEthernet(run, LENGTH_BYTES, PROBE_HEADER)
  return run
}

export class PairWatch {
  readonly #pairs = new Map<DgramPort, number>()
  #timer: NodeJS.Timeout | undefined

  /** `pid`: the process that asked for the pair. */
  add(made: DgramPort, pid: number): void {
    this.#pairs.set(made, pid)
    this.#timer ??= setInterval(() => this.look(), LOOK_INTERVAL).unref()
  }

  look(): void {
    for (const [made, pid] of this.#pairs) {
      if (made.port.id < 0) this.#pairs.delete(made)
      else if (made.port.counters[RX_FRAMES] === 0 || !isAlive(pid)) probe(made)
    }
    if (this.#pairs.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  close(): void {
    clearInterval(this.#timer)
    this.#pairs.clear()
  }
}

/** Between two runs, when no port's list holds anything. */
function probe({ port, io }: DgramPort): void {
  port.stretches[0] = 0
  port.stretches[1] = PROBE.length
  io.transmit(PROBE, 1, 1)
}

function isAlive(pid: number): boolean {
  // Of a process in another PID namespace no number is known.
  if (pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}

// The vmnet uplink under the suite, on the double of vmnet.framework (native/double): the addon must be the build that
// holds it. What passes here is our handling of the framework's contract; Apple's own filtering, speed and
// privileges are seen on a Mac alone.

import { native } from '../../src/native.js'
import type { VmnetChoice } from '../../src/uplink/uplink.js'
import type { Scope } from '../helpers/daemon.js'
import { devices, layCable, subnetTaken } from './host.js'
import { type Break, type Failure, type Ground, type Kind, type Scene, start } from './kind.js'
import { GATEWAY } from './network.js'

/** What the double has done since the process began, and what is alive in it now. */
export interface Stats {
  starts: number
  stops: number
  reads: number
  writes: number
  packetsRead: number
  packetsWritten: number
  largestRead: number
  largestWrite: number
  events: number
  liveInterfaces: number
  liveNetworks: number
  liveQueues: number
  liveXpcObjects: number
}

/** Tells the double what shall go wrong (native/double/faults.h has the grammar). */
export const double: (text: string) => unknown = text =>
  (native as unknown as { vmnetDouble(text: string): unknown }).vmnetDouble(text)

export const stats = (): Stats => JSON.parse(double('stats') as string) as Stats

const ETHERNET_HEADER = 14

let grounds = 0

export interface VmnetSettings extends Partial<VmnetChoice> {
  /** What goes wrong from the first start on. */
  faults?: string
}

/** Each ground has a device of another name, as a stop that never ends keeps the last one. */
export async function layVmnet(t: Scope, { faults, ...choice }: VmnetSettings = {}): Promise<Ground> {
  const cable = layCable(t)
  const device = `vbtup${grounds++}`
  process.env['VMNET_DOUBLE_TAP'] = device
  double('clear')
  if (faults !== undefined) double(faults)
  t.teardown(() => double('clear'))
  const whole: VmnetChoice = { kind: 'vmnet', mode: 'shared', isolate: false, appleDhcp: 'on', ...choice }
  return {
    choice: whole,
    name: whole.mode === 'bridged' ? `bridged ${whole.interface}` : whole.mode,
    far: cable.far,
    join: () => cable.join(device),
    part() {},
    traces: () => devices().filter(name => name === device),
  }
}

/** An uplink on a ground of its own, with settings that the kind does not have. */
export const startVmnet = (t: Scope, settings: VmnetSettings): Promise<Scene> =>
  start(t, { lay: t => layVmnet(t, settings) })

/** The interface fails from now on, and so does every start until `clear`; `notice` makes the uplink meet that. */
const fails = (name: string, reason: RegExp, faults: string, notice: (scene: Scene) => void): Break => ({
  name,
  reason,
  act(scene) {
    double(`${faults},start=1001`)
    notice(scene)
  },
  mend: () => void double('clear'),
})

/** A frame of nobody's: what is written is what finds out. */
function write({ network }: Scene): void {
  const teller = network.tester()
  network.say(teller, new Uint8Array(60).fill(0xff, 0, 6))
  network.switch.detach(teller.port)
}

const read = (): void => void double('event=spurious')

const refused = (name: string, start: string, code: string, hint: RegExp): Failure => ({
  name: `vmnet_start_interface ${name}`,
  code,
  hint,
  provoke() {
    double(`start=${start}`)
    return () => void double('clear')
  },
})

export const vmnet: Kind = {
  name: 'vmnet',
  reaches: true,
  mtus: [1500, 1280, 9000],
  longestOut: mtu => mtu + ETHERNET_HEADER,
  longestIn: mtu => mtu + ETHERNET_HEADER,
  sendsRunts: false,
  whenFull: 'fails',
  returns: true,
  breaks: [
    fails('its interface goes, which a write finds out', /^VMNET_FAILURE$/, 'gone', write),
    fails('its interface goes, which a read finds out', /^VMNET_FAILURE$/, 'gone', read),
    fails('a read is refused', /^VMNET_INVALID_ACCESS$/, 'read=1005', read),
    fails('a read fails with a status of no name', /^status 4711$/, 'read=4711', read),
    fails('a write is refused', /^VMNET_SETUP_INCOMPLETE$/, 'write=1004', write),
  ],
  failures: [
    refused('fails', '1001', 'ERR_VMNET_START', /--gateway/),
    refused('has no memory', '1002', 'ERR_VMNET_START', /./),
    refused('takes an argument for invalid', '1003', 'ERR_VMNET_ARGUMENT', /--gateway/),
    refused('does not finish', '1004', 'ERR_VMNET_SETUP', /try again/),
    refused('refuses access', '1005', 'ERR_VMNET_START', /./),
    refused('says something else', '1006', 'ERR_VMNET_START', /./),
    refused('says what nobody knows', '4711', 'ERR_VMNET_START', /./),
    refused('finds sharing busy', '1009', 'ERR_VMNET_SHARING_BUSY', /Internet Sharing/),
    refused('does not authorize', '1010', 'ERR_VMNET_PERMISSION', /sudo/),
    refused('gives no handle and no word', 'null', 'ERR_VMNET_START', /./),
    refused('fails after it gave a handle', 'late:1001', 'ERR_VMNET_START', /--gateway/),
    subnetTaken(GATEWAY),
  ],
  lay: t => layVmnet(t),
  // Full buffers that never empty.
  stall() {
    double('write=1007')
    return () => void double('clear')
  },
  stallsAs: 'tx-queue-full',
}

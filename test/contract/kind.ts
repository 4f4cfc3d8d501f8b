// What a kind of uplink is to the suite: how its far side is laid, what it promises, and how it is taken away from
// outside. The cases know uplinks by this alone.

import type { Port } from '../../src/switch/port.js'
import type { Uplink, UplinkChoice } from '../../src/uplink/uplink.js'
import type { Scope } from '../helpers/daemon.js'
import type { End } from './end.js'
import { MTU, Network } from './network.js'

/** Where an uplink is opened, any number of times one after the other. */
export interface Ground {
  choice: UplinkChoice
  /** The name in the status of the uplink. */
  name?: string
  /** Where its frames come out, and where frames for it go in. */
  far: End
  /** Joins what the uplink has made to the far side; after each start, and each return. */
  join(): Promise<void>
  /** Lets go of what the far side still holds of an uplink that was closed. */
  part(): void
  /** What an open uplink has outside of this process, such as a network device. */
  traces(): readonly string[]
}

/** A way to take an uplink away under its owner. */
export interface Break<S extends Scene = Scene> {
  name: string
  /** What the log gives as the reason. */
  reason: RegExp
  act(scene: S): unknown
  /** Lets the uplink come back, where it does by itself; until then it cannot. */
  mend?(scene: S): unknown
}

/** A reason for which an uplink cannot start. */
export interface Failure {
  name: string
  /** The code of the BridgeError. */
  code: string
  hint: RegExp
  /** Brings it about, and returns what undoes that. */
  provoke(): () => void
}

export interface Kind<G extends Ground = Ground> {
  name: UplinkChoice['kind']
  /** False for one that leads nowhere: the cases of frames do not apply. */
  reaches: boolean
  /** The MTUs that it is opened with; the first is the usual one. */
  mtus: readonly number[]
  /** Bytes of the longest frame that leaves by it, and of the longest that its far side can send. */
  longestOut(mtu: number): number
  longestIn(mtu: number): number
  /** The far side can send what is shorter than a header. */
  sendsRunts: boolean
  /** What it says where the switch has no port left: an error, or it is down until there is one. */
  whenFull: 'fails' | 'waits'
  /** It comes back by itself after a break. */
  returns: boolean
  breaks: readonly Break<Scene<G>>[]
  failures: readonly Failure[]
  lay(t: Scope): Promise<G>
  /** Has the way out take nothing, and returns what undoes that. */
  stall(ground: G): () => unknown
  /** The drop reason under which frames are counted meanwhile. */
  stallsAs: string
}

/** An uplink that is open, with all that is around it. */
export interface Scene<G extends Ground = Ground> {
  ground: G
  network: Network
  uplink: Uplink
  port: Port
  far: End
}

export async function start<G extends Ground>(
  t: Scope,
  kind: Pick<Kind<G>, 'lay'>,
  mtu = MTU,
): Promise<Scene<G>> {
  const ground = await kind.lay(t)
  const network = new Network(t)
  const uplink = await network.open(ground.choice, mtu)
  await ground.join()
  return { ground, network, uplink, port: uplink.port!, far: ground.far }
}

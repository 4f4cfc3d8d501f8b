/**
 * What the networks of one daemon cannot share: addresses, paths and devices.
 */

import { resolve } from 'node:path'
import { show, type Entries, type FileWords, type NetworkWords } from '../config/file.js'
import { servesItself, type NetworkSettings } from '../daemon/settings.js'
import { MAX_SOCKET_PATH } from '../socket-path.js'
import { formatIpv4 } from '../wire/ipv4.js'
import type { DaemonLevel } from './daemon-level.js'

export interface ReadNetwork {
  words: NetworkWords
  settings: NetworkSettings
}

/** Notes a fault for each thing that somebody before has already. */
export function refuseShared(
  networks: readonly ReadNetwork[],
  level: DaemonLevel | undefined,
  { top, faults }: FileWords,
): void {
  const owners = new Map<string, string>()
  const take = (thing: string, what: string, whose: string, at: number): void => {
    const owner = owners.get(thing)
    if (owner === undefined) owners.set(thing, `${what} of ${whose}`)
    else faults.add(at, `${thing} is ${owner} already, and now ${what} of ${whose}`, 'each has its own')
  }
  if (level !== undefined) {
    const places = { control: level.control, pidfile: level.pidfile, 'log-file': level.logFile }
    for (const [key, path] of Object.entries(places))
      if (path !== undefined) take(path, `the ${key}`, 'the daemon', placeOf(top, key, path) ?? 0)
  }
  for (const { words, settings } of networks) {
    const whose = `the network ${show(words.name)} (line ${faults.lineOf(words.at)})`
    for (const [key, path] of pathsOf(settings)) {
      const at = placeOf(words.entries, key, path) ?? words.at
      if (key !== 'state-dir' && Buffer.byteLength(path) > MAX_SOCKET_PATH)
        faults.add(at, `${key} ${path} has over ${MAX_SOCKET_PATH} bytes`, `try ${key}: /run/vm.sock`)
      take(path, `the ${key}`, whose, at)
    }
    const { uplink } = settings
    if (uplink.kind === 'tap' && uplink.name !== undefined)
      take(`tap:${uplink.name}`, 'the uplink', whose, placeOf(words.entries, 'uplink') ?? words.at)
  }
  refuseOverlaps(networks, faults)
}

function pathsOf({ sockets, dgrams = [], dials = [], stateDir }: NetworkSettings): [string, string][] {
  return [
    ...sockets.map((path): [string, string] => ['socket', path]),
    ...dgrams.map((path): [string, string] => ['dgram', path]),
    ...dials.map((path): [string, string] => ['dial', path]),
    ['state-dir', stateDir],
  ]
}

/** Where the last word of that key stands that means the path, or the first one that there is. */
function placeOf(entries: Entries, key: string, path?: string): number | undefined {
  const words = entries.get(key)?.words
  return (words?.findLast(({ text }) => path !== undefined && resolve(text) === path) ?? words?.[0])?.at
}

function refuseOverlaps(networks: readonly ReadNetwork[], faults: FileWords['faults']): void {
  const before: ReadNetwork[] = []
  for (const each of networks) {
    if (!hasSubnet(each.settings)) continue
    const { gateway } = each.settings
    const owner = before.find(
      ({ settings: { gateway: other } }) =>
        gateway.network <= other.broadcast && other.network <= gateway.broadcast,
    )
    before.push(each)
    if (owner === undefined) continue
    const given = placeOf(each.words.entries, 'gateway')
    const which = given === undefined ? ', which it has without a gateway of its own,' : ''
    const line = faults.lineOf(owner.words.at)
    faults.add(
      given ?? each.words.at,
      `the subnet ${subnet(each)}${which} overlaps ${subnet(owner)} of the network ${show(owner.words.name)} in line ${line}`,
      'give it another gateway',
    )
  }
}

const subnet = ({ settings: { gateway } }: ReadNetwork): string =>
  `${formatIpv4(gateway.network)}/${gateway.prefix}`

/** Whether its gateway means anything: not on a LAN, nor behind the socket of another server. */
function hasSubnet(settings: NetworkSettings): boolean {
  if (servesItself(settings)) return false
  return settings.uplink.kind !== 'socket' || settings.dhcp !== undefined || settings.answers !== undefined
}

/**
 * One network of vmbridge.yaml: its words are read as those of the command line, and beside them how DHCP is answered
 * and what is reserved.
 */

import type { Faults } from '../config/faults.js'
import { show, type Entries, type NetworkWords, type ReservationWords } from '../config/file.js'
import type { ReservationRecord } from '../control/api.js'
import { takenAddresses, type NetworkSettings } from '../daemon/settings.js'
import { parseOptions } from '../dhcp/option-config.js'
import { defaultRange, leasable } from '../dhcp/range.js'
import { toReservation } from '../dhcp/reservation-file.js'
import { Reservations, type StandingReservation } from '../dhcp/reservations.js'
import { BridgeError, UsageError } from '../errors.js'
import { parseIpv4 } from '../wire/ipv4.js'
import { DHCP_OPTIONS, readNetworkSettings, type NetworkFrame } from './daemon-settings.js'
import { addFault, parsedOf, readAll, refuseRelative } from './daemon-words.js'
import { recordOf } from './reservations.js'

export interface FileContext {
  /** Of the file, for people. */
  file: string
  /** The folder that it is in. */
  folder: string
  faults: Faults
  platform: NodeJS.Platform
}

/** The key that says who answers DHCP: as the control API has it, and true and false. */
export const DHCP_KEY = 'dhcp'
const DHCP_WORDS = ['true', 'pool', 'answer', 'passthrough', 'false'] as const
type DhcpWord = (typeof DHCP_WORDS)[number]

/** Others are judged by them. */
const BASIS = ['uplink', 'mode', 'interface', 'no-dhcp', DHCP_KEY]

/** By the gateway, its subnet. */
const JUDGES = { gateway: ['dhcp-range', 'dhcp-exclude'] }

/** Undefined where there was a fault, which is noted. */
export function readNetwork(
  words: NetworkWords,
  frame: NetworkFrame,
  context: FileContext,
): NetworkSettings | undefined {
  const { faults, folder, platform } = context
  const entries = new Map(words.entries)
  const before = faults.size
  refuseRelative(entries, faults, folder)
  const dhcp = readDhcpWord(entries, faults)
  const switches = dhcp === 'false' || dhcp === 'passthrough' ? ['no-dhcp'] : []
  const read = (left: Entries): NetworkSettings => {
    const settings = readNetworkSettings(parsedOf(left, switches), frame, platform)
    // What is left of a wrong range says nothing.
    if (left.size === entries.size) checkRange(settings, left)
    return settings
  }
  const network = readAll(entries, faults, words.at, BASIS, read, JUDGES)
  if (network === undefined) return undefined
  if (dhcp === 'answer') {
    delete network.dhcp
    network.answers = true
  }
  if ((dhcp === 'true' || dhcp === 'pool') && network.dhcp === undefined) {
    const what = `dhcp: ${dhcp}: behind this uplink there is a DHCP server of others`
    faults.add(
      entries.get(DHCP_KEY)!.at,
      what,
      'give it a dhcp-range; of bridged networks docs/config.md says more',
    )
  }
  const reservations = readReservations(words.reservations, network, context)
  if (reservations.length > 0) network.reservations = reservations
  return faults.size === before ? network : undefined
}

function readDhcpWord(entries: Entries, faults: Faults): DhcpWord | undefined {
  const entry = entries.get(DHCP_KEY)
  if (entry === undefined) return undefined
  const { text, at } = entry.words[0]!
  const word = DHCP_WORDS.find(each => each === text)
  if (word === undefined)
    faults.add(at, `dhcp ${show(text)} is not one of ${DHCP_WORDS.join(', ')}`, `try dhcp: ${meantBy(text)}`)
  const other = entries.get('no-dhcp')
  if (other !== undefined)
    faults.add(other.at, 'no-dhcp beside dhcp: one of them says it', 'leave one of them out')
  entries.delete('no-dhcp')
  if (word !== 'answer') return word
  for (const name of [...DHCP_OPTIONS, 'leases-file']) {
    const useless = entries.get(name)
    if (useless === undefined) continue
    faults.add(useless.at, `${name} with dhcp: answer, which answers for reservations alone`, 'leave it out')
    entries.delete(name)
  }
  return word
}

/** Other YAML has more words for true and false. */
function meantBy(text: string): DhcpWord {
  if (/^(no|off|false|n|none)$/i.test(text)) return 'false'
  return /^(yes|on|true|y)$/i.test(text) ? 'true' : 'pool'
}

/** As the server does at its start. @throws UsageError naming the key that has the range */
function checkRange({ gateway, dhcp }: NetworkSettings, entries: Entries): void {
  const range = dhcp?.range ?? defaultRange(gateway)
  if (dhcp === undefined || range === undefined) return
  try {
    leasable(gateway, range, dhcp.exclude)
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    const key = ['dhcp-range', 'dhcp-exclude'].find(name => entries.has(name)) ?? 'gateway'
    throw new UsageError(`--${key}: ${error.message}`, error.hint)
  }
}

function readReservations(
  all: readonly ReservationWords[],
  network: NetworkSettings,
  context: FileContext,
): StandingReservation[] {
  const { faults, file } = context
  const [first] = all
  if (first === undefined) return []
  if (network.dhcp === undefined && network.answers === undefined) {
    faults.add(first.at, 'a reservation where no DHCP server of ours answers', 'dhcp: pool, or dhcp: answer')
    return []
  }
  // The rules are those of the daemon's own table.
  const quiet = (): void => {}
  const table = new Reservations({
    subnet: network.gateway,
    taken: takenAddresses(network),
    log: { info: quiet, warn: quiet, error: quiet },
    clock: { now: () => 0 },
  })
  const standing: StandingReservation[] = []
  for (const words of all) {
    const record = readRecord(words, faults)
    if (record === undefined) continue
    try {
      const reservation = toReservation(record)
      if (reservation === undefined) throw new BridgeError('ERR_RESERVATION', 'a reservation of no meaning')
      const each = { reservation, origin: `${file}, line ${faults.lineOf(words.at)}` }
      table.stand(each)
      standing.push(each)
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error
      addFault(faults, placeOf(error, words), error)
    }
  }
  return standing
}

const MATCHES = ['mac', 'client-id', 'name']

function readRecord({ at, entries }: ReservationWords, faults: Faults): ReservationRecord | undefined {
  const ip = entries.get('ip')?.words[0]
  if (ip === undefined || parseIpv4(ip.text) === undefined) {
    const what = ip === undefined ? 'a reservation without ip' : `ip ${show(ip.text)} is not an IPv4 address`
    faults.add(ip?.at ?? at, what, 'try ip: 192.168.105.7')
    return undefined
  }
  const given = MATCHES.filter(name => entries.has(name))
  if (given.length !== 1) {
    const whose =
      given.length === 0 ? 'a reservation for nobody' : `a reservation with ${given.join(' and ')}`
    faults.add(at, whose, `one of ${MATCHES.join(', ')} tells whose it is`)
    return undefined
  }
  const options = entries.get('options')?.words
  const areRead = options?.map(({ text, at: place }) => isOption(text, place, faults))
  const record = readAll(entries, faults, at, MATCHES, left => recordOf(ip.text, parsedOf(left)))
  if (record === undefined || areRead?.includes(false)) return undefined
  return { ...record, ...(options === undefined ? {} : { options: options.map(({ text }) => text) }) }
}

function isOption(text: string, at: number, faults: Faults): boolean {
  try {
    parseOptions([text])
    return true
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    addFault(faults, at, error)
    return false
  }
}

/** Where what is wrong stands, by what kind of wrong it is. */
function placeOf({ code }: BridgeError, { at, entries }: ReservationWords): number {
  const names =
    code === 'ERR_RESERVATION_MATCH' ? MATCHES : [code === 'ERR_RESERVATION_HOSTNAME' ? 'hostname' : 'ip']
  const word = names.map(name => entries.get(name)?.words[0]).find(each => each !== undefined)
  return word?.at ?? at
}

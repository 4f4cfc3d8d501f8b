/**
 * vmbridge.yaml as words: which keys stand where, with which texts. What is wrong with its form is noted with its place;
 * what the texts mean is read by whoever reads the command line.
 *
 * Every scalar is a text, as a command line has it: 0660, on and 1e3 are what was written. There is one way to say a
 * thing: no aliases, no merge keys, no tags, so that the work is bounded by the length of the file.
 */

import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from 'yaml'
import { Faults } from './faults.js'
import { nearest } from './nearest.js'
import { readYaml, startOf } from './yaml.js'

export interface Word {
  text: string
  /** The offset in the file. */
  at: number
}

export interface Entry {
  /** Where the key stands. */
  at: number
  /** One or more; of a switch `true`. */
  words: Word[]
}

export type Entries = Map<string, Entry>

export interface ReservationWords {
  at: number
  entries: Entries
}

export interface NetworkWords {
  name: string
  at: number
  entries: Entries
  reservations: ReservationWords[]
}

export interface FileWords {
  top: Entries
  /** Undefined where the file does not speak of them. */
  networks?: NetworkWords[]
  /** What is wrong so far; more may come of what the texts mean. */
  faults: Faults
}

export type KeyKind = 'switch' | 'text' | 'list'
/** The keys that may stand in a place, and what each takes. */
export type Keys = Readonly<Record<string, KeyKind>>

/** A daemon has no use for more, and what is compared in pairs stays little. */
export const MAX_NETWORKS = 64
/** Texts of one key, and reservations of one network. */
const MOST_WORDS = 256
const MOST_RESERVATIONS = 4096
/** It is the name of a socket and of a folder, and stands in tables. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/i
const NETWORKS = 'networks'
/** Of tags that YAML itself has, written as `!!map`. */
const KNOWN_TAG = 'tag:yaml.org,2002:'
const RESERVATIONS = 'reservations'
export const RESERVATION_KEYS: Keys = {
  ip: 'text',
  mac: 'text',
  'client-id': 'text',
  name: 'text',
  hostname: 'text',
  options: 'list',
}

/** Never throws. @param keys of the file itself, and of each network besides its reservations */
export function readWords(text: string, keys: { top: Keys; network: Keys }): FileWords {
  const yaml = readYaml(text, {
    schema: 'failsafe',
    // Ours is told in our words, and in one pass.
    uniqueKeys: false,
    merge: false,
    resolveKnownTags: false,
  })
  const faults = new Faults(yaml.placeOf)
  const [error] = yaml.errors
  if (error !== undefined) {
    // What is behind it, and a tree that was mended by a guess, have faults of their own making.
    const { message, at } = error
    faults.add(at, ...inOurWords(message))
    return { top: new Map(), faults }
  }
  for (const { message, pos } of yaml.document.warnings) faults.add(pos[0], message, 'leave it out')
  if (yaml.document.directives?.yaml.version !== '1.2')
    faults.add(0, 'a file of an older YAML, where texts mean other things', 'leave the %YAML line out')
  return new Reader(faults, keys).read(yaml.document.contents)
}

/** What the parser says in words of its grammar. */
function inOurWords(message: string): [message: string, hint?: string] {
  if (/multiple documents/.test(message)) return ['a second document: one file has one']
  if (message.startsWith('Implicit map keys need'))
    return ['a key without a value', 'KEY: VALUE, with a space behind the colon']
  return [message]
}

class Reader {
  readonly #faults: Faults
  readonly #keys: { top: Keys; network: Keys }

  constructor(faults: Faults, keys: { top: Keys; network: Keys }) {
    this.#faults = faults
    this.#keys = keys
  }

  read(contents: unknown): FileWords {
    const top = new Map<string, Entry>()
    const words: FileWords = { top, faults: this.#faults }
    for (const { name, at, value } of this.#pairs(contents, 'the file', 0)) {
      if (name === NETWORKS) words.networks = this.#networks(value, at)
      else this.#entry(top, name, at, value, this.#keys.top, 'the file', [NETWORKS])
    }
    return words
  }

  #networks(node: unknown, at: number): NetworkWords[] {
    const networks: NetworkWords[] = []
    for (const { name, at: place, value } of this.#pairs(node, NETWORKS, at)) {
      if (networks.length === MAX_NETWORKS) {
        this.#faults.add(place, `there are more than ${MAX_NETWORKS} networks`)
        break
      }
      if (Object.hasOwn(this.#keys.network, name) && isScalar(value) && !isNothing(value)) {
        const message = `${show(name)} is a key of a network, and stands here as the name of one`
        this.#faults.add(place, message, 'indent it below the name of its network')
        continue
      }
      if (!NAME.test(name)) {
        this.#faults.add(
          place,
          `${show(name)} is no name of a network`,
          'letters, digits, -, _ and ., at most 32, a letter or a digit first',
        )
      }
      const network: NetworkWords = { name, at: place, entries: new Map(), reservations: [] }
      for (const pair of this.#pairs(value, `the network ${show(name)}`, place)) {
        if (pair.name === RESERVATIONS) network.reservations = this.#reservations(pair.value, pair.at)
        else
          this.#entry(network.entries, pair.name, pair.at, pair.value, this.#keys.network, 'a network', [
            RESERVATIONS,
          ])
      }
      networks.push(network)
    }
    return networks
  }

  #reservations(node: unknown, at: number): ReservationWords[] {
    if (isNothing(node) || this.#isForeign(node)) return []
    if (!isSeq(node)) {
      this.#faults.add(startOf(node) ?? at, 'reservations is no list', '- { ip: IP, mac: MAC }')
      return []
    }
    if (node.items.length > MOST_RESERVATIONS)
      this.#faults.add(at, `there are more than ${MOST_RESERVATIONS} reservations`)
    return node.items.slice(0, MOST_RESERVATIONS).map(item => {
      const place = startOf(item) ?? at
      const entries: Entries = new Map()
      for (const pair of this.#pairs(item, 'a reservation', place))
        this.#entry(entries, pair.name, pair.at, pair.value, RESERVATION_KEYS, 'a reservation')
      return { at: place, entries }
    })
  }

  /** The entries of a mapping, each name once; none where there is nothing. */
  #pairs(node: unknown, what: string, at: number): { name: string; at: number; value: unknown }[] {
    if (isNothing(node)) return []
    if (this.#isForeign(node)) return []
    if (!isMap(node)) {
      this.#faults.add(startOf(node) ?? at, `${what} is no mapping`, 'KEY: VALUE')
      return []
    }
    const pairs: { name: string; at: number; value: unknown }[] = []
    const seen = new Map<string, number>()
    for (const { key, value } of (node as YAMLMap).items as Pair<unknown, unknown>[]) {
      const place = startOf(key) ?? startOf(node) ?? at
      const name = this.#text(key, 'a key', place)
      if (name === undefined) continue
      if (name === '<<') {
        this.#faults.add(place, 'a merge key (<<)', 'write what it stands for')
        continue
      }
      // Names of networks are folders, and some disks know no case.
      const same = what === NETWORKS ? name.toLowerCase() : name
      if (seen.has(same)) {
        const noun = what === NETWORKS ? `the network ${show(name)}` : show(name)
        this.#faults.add(place, `${noun} is there already, in line ${this.#faults.lineOf(seen.get(same)!)}`)
        continue
      }
      seen.set(same, place)
      pairs.push({ name, at: place, value })
    }
    return pairs
  }

  #entry(
    into: Entries,
    name: string,
    at: number,
    value: unknown,
    keys: Keys,
    where: string,
    more: readonly string[] = [],
  ): void {
    const kind = Object.hasOwn(keys, name) ? keys[name] : undefined
    if (kind === undefined) {
      this.#unknown(name, at, [...Object.keys(keys), ...more], where)
      return
    }
    const words = this.#words(name, at, value, kind)
    // A switch that is false is one that was not given.
    const isOff = kind === 'switch' && words?.[0]?.text === 'false'
    if (words !== undefined && !isOff) into.set(name, { at, words })
  }

  #unknown(name: string, at: number, known: readonly string[], where: string): void {
    const { top, network } = this.#keys
    const message = `${show(name)} is not a key of ${where}`
    if (where === 'the file' && (Object.hasOwn(network, name) || name === RESERVATIONS))
      return this.#faults.add(at, message, `it stands in a network: networks: { default: { ${name}: … } }`)
    if (where === 'a network' && Object.hasOwn(top, name))
      return this.#faults.add(at, message, 'it stands at the top of the file, for all networks')
    const [before = '', behind] = name.split(/:(.*)/s)
    if (behind !== undefined && known.includes(before))
      return this.#faults.add(at, message, `a space behind the colon: ${before}: ${show(behind)}`)
    const meant = nearest(name, known)
    const hint = meant === undefined ? `the keys are ${known.join(', ')}` : `did you mean ${meant}?`
    this.#faults.add(at, message, hint)
  }

  #words(name: string, at: number, value: unknown, kind: KeyKind): Word[] | undefined {
    if (kind === 'list' && isSeq(value)) {
      if (this.#isForeign(value)) return undefined
      if (value.items.length > MOST_WORDS) {
        this.#faults.add(at, `${name} has more than ${MOST_WORDS} values`)
        return undefined
      }
      const words = value.items.map(item => this.#word(name, at, item))
      return words.every(word => word !== undefined) && words.length > 0 ? words : undefined
    }
    const word = this.#word(name, at, value)
    if (word === undefined) return undefined
    if (kind === 'switch' && word.text !== 'true' && word.text !== 'false') {
      this.#faults.add(word.at, `${name} is ${show(word.text)}, and takes true or false`)
      return undefined
    }
    return [word]
  }

  #word(name: string, key: number, node: unknown): Word | undefined {
    const at = startOf(node) ?? key
    if (isNothing(node)) {
      this.#faults.add(at, `${name} has no value`, 'give it one, or leave it out')
      return undefined
    }
    const text = this.#text(node, name, at)
    return text === undefined ? undefined : { text, at }
  }

  #text(node: unknown, what: string, at: number): string | undefined {
    if (this.#isForeign(node)) return undefined
    if (!isScalar(node) || typeof node.value !== 'string') {
      this.#faults.add(at, `${what} is ${isSeq(node) ? 'a list' : 'a mapping'}, and takes one text`)
      return undefined
    }
    // No option can hold them on a command line: a NUL ends its text, and a line is a line.
    // oxlint-disable-next-line no-control-regex -- that is what is looked for
    if (!/[\u0000-\u001f\u007f]/.test(node.value)) return node.value
    this.#faults.add(at, `${what} has a control character or several lines`)
    return undefined
  }

  /** Notes what stands in the way of a value: an alias, or a tag. */
  #isForeign(node: unknown): boolean {
    const { tag } = (node ?? {}) as { tag?: string }
    // Any other tag is one that the parser has warned of.
    if (tag?.startsWith(KNOWN_TAG)) {
      this.#faults.add(startOf(node) ?? 0, `a tag (!!${tag.slice(KNOWN_TAG.length)})`, 'leave it out')
      return true
    }
    if (!isAlias(node)) return false
    this.#faults.add(startOf(node) ?? 0, `an alias (*${node.source})`, 'write what it stands for')
    return true
  }
}

/** No value at all: `key:` with nothing behind it. */
function isNothing(node: unknown): boolean {
  if (node === null || node === undefined) return true
  return isScalar(node) && (node as Node & { type?: string }).type === 'PLAIN' && node.value === ''
}

/** At a length that fits a line, whatever somebody wrote there. */
export function show(text: string): string {
  return /^[\w./:@+-]{1,64}$/.test(text) ? text : JSON.stringify(text.slice(0, 64))
}

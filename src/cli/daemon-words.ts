/**
 * The words of vmbridge.yaml as the reader of the command line takes them, and its refusals as faults of the file: with
 * the place of the key that they name, and `--gateway` said as `gateway`.
 */

import { resolve } from 'node:path'
import type { Entries, Entry, Word } from '../config/file.js'
import { show } from '../config/file.js'
import type { Faults } from '../config/faults.js'
import { BridgeError } from '../errors.js'
import type { Parsed } from './options.js'

/** Those whose texts are paths. */
const PATHS = ['control', 'pidfile', 'log-file', 'state-dir', 'socket', 'dgram', 'dial', 'leases-file']
const SOCKET_UPLINK = 'socket:'

/** @param switches those that hold beside the ones of the file */
export function parsedOf(entries: Entries, switches: readonly string[] = []): Parsed {
  const all = (name: string): string[] => entries.get(name)?.words.map(({ text }) => text) ?? []
  return {
    get: name => all(name)[0],
    all,
    has: name => switches.includes(name) || all(name)[0] === 'true',
    operands: [],
  }
}

/** What the command line says, and where it is silent what the file does. */
export function layered(flags: Parsed, file: Parsed): Parsed {
  return {
    get: name => flags.get(name) ?? file.get(name),
    all: name => (flags.all(name).length > 0 ? flags.all(name) : file.all(name)),
    has: name => flags.has(name) || file.has(name),
    operands: flags.operands,
  }
}

/** Takes out the paths that would mean another place wherever the daemon is started. */
export function refuseRelative(entries: Entries, faults: Faults, folder: string): void {
  const check = (name: string, { text, at }: Word, path: string): void => {
    if (path.startsWith('/')) return
    const example = text.replace(path, resolve(folder, path))
    faults.add(at, `${name} ${show(text)} is no absolute path`, `try ${name}: ${example}`)
    entries.delete(name)
  }
  for (const name of PATHS) {
    for (const word of entries.get(name)?.words ?? [])
      if (name !== 'leases-file' || word.text !== 'none') check(name, word, word.text)
  }
  for (const word of entries.get('uplink')?.words ?? [])
    if (word.text.startsWith(SOCKET_UPLINK)) check('uplink', word, word.text.slice(SOCKET_UPLINK.length))
}

/**
 * What `read` makes of the entries. What it refuses is a fault, and is asked again without the word that it named, so
 * that all faults are found at once; undefined where there was one.
 * @param at where the faults stand that name no key
 * @param basis keys that others are judged by: where one of them is wrong, nothing follows
 * @param judges keys with those that are judged by them alone, and are let be where it is wrong
 */
export function readAll<T>(
  entries: Entries,
  faults: Faults,
  at: number,
  basis: readonly string[],
  read: (entries: Entries) => T,
  judges: Readonly<Record<string, readonly string[]>> = {},
): T | undefined {
  const left = new Map(entries)
  let isWrong = false
  for (;;) {
    try {
      const value = read(left)
      return isWrong ? undefined : value
    } catch (error) {
      isWrong = true
      if (!(error instanceof BridgeError)) throw error
      const named = namedBy(error, left)
      // It may be there by another key.
      const said = left.has('no-dhcp') ? 'no-dhcp' : `dhcp: ${left.get('dhcp')?.words[0]?.text}`
      const message = error.message.replace('--no-dhcp', said)
      addFault(faults, named?.word?.at ?? named?.entry.at ?? at, {
        message,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      })
      if (named === undefined || basis.includes(named.name)) return undefined
      const words = named.entry.words.filter(word => named.word !== undefined && word !== named.word)
      for (const judged of judges[named.name] ?? []) left.delete(judged)
      if (words.length === 0) left.delete(named.name)
      else left.set(named.name, { ...named.entry, words })
    }
  }
}

/** The refusal of a reader of the command line, in the words of the file. */
export function addFault(
  faults: Faults,
  at: number,
  { message, hint }: Pick<BridgeError, 'message' | 'hint'>,
): void {
  faults.add(at, unflagged(message), hint === undefined ? undefined : asKeys(hint))
}

interface Named {
  name: string
  entry: Entry
  /** The text that the refusal is about. */
  word?: Word
}

/** The first option of a message that the file gave. */
function namedBy({ message }: BridgeError, entries: Entries): Named | undefined {
  for (const [flag, option] of message.matchAll(FLAG)) {
    const name = option === 'no-dhcp' && !entries.has(option) ? 'dhcp' : option!
    const entry = entries.get(name)
    if (entry === undefined) continue
    const rest = message.slice(message.indexOf(flag) + flag.length + 1)
    const [word] = entry.words
      .filter(({ text }) => rest.startsWith(text) || rest.startsWith(resolve(text)))
      .sort((one, other) => other.text.length - one.text.length)
    return { name, entry, ...(word === undefined ? {} : { word }) }
  }
  return undefined
}

const FLAG = /(?<![\w-])--([a-z][a-z0-9-]*)/g

function unflagged(text: string): string {
  return text.replace(FLAG, '$1')
}

/** `--a x --b` as `try a: x, b: true`. */
function asKeys(hint: string): string {
  if (!hint.startsWith('--')) return unflagged(hint)
  const keys = hint.split(/ (?=--)/).map(option => {
    const [, name, value = 'true'] = /^--([a-z0-9-]+)(?: (.*))?$/.exec(option) ?? []
    return name === undefined ? unflagged(option) : `${name}: ${value}`
  })
  return `try ${keys.join(', ')}`
}

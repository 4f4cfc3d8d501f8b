/**
 * Lima's networks.yaml (LIMA_HOME/_config/networks.yaml): read as Lima 2 reads it, with the place of whatever Lima
 * would not take. Where there is no such file, Lima writes its defaults, and those hold here too.
 */

import { isIPv4 } from 'node:net'
import { isAlias, isMap, isScalar, type YAMLMap } from 'yaml'
import { readYaml, startOf, type YamlText } from '../../config/yaml.js'
import { BridgeError } from '../../errors.js'

export interface LimaNetwork {
  mode: string
  interface: string
  /** An IPv4 address, or '' where there is none; so the next two. Lima takes IPv6 here, but socket_vmnet does not. */
  gateway: string
  dhcpEnd: string
  netmask: string
}

/** A text that is not there is ''. */
export interface LimaConfig {
  socketVmnet: string
  varRun: string
  sudoers: string
  group: string
  networks: Map<string, LimaNetwork>
}

/** The mode that is Lima's own network in user space, without socket_vmnet. */
const USER_MODE = 'user-v2'
const NONE: LimaNetwork = { mode: '', interface: '', gateway: '', dhcpEnd: '', netmask: '' }
const MASK = '255.255.255.0'
const USER_NETWORK: LimaNetwork = { ...NONE, mode: USER_MODE, gateway: '192.168.104.1', netmask: MASK }

/** What Lima writes where there is no networks.yaml, with the socket_vmnet that it found. */
export function defaultConfig(socketVmnet: string): LimaConfig {
  const own = (mode: string, subnet: string): LimaNetwork => ({
    ...NONE,
    mode,
    gateway: `${subnet}.1`,
    dhcpEnd: `${subnet}.254`,
    netmask: MASK,
  })
  return {
    socketVmnet,
    varRun: '/private/var/run/lima',
    sudoers: '/private/etc/sudoers.d/lima',
    group: 'admin',
    networks: new Map([
      [USER_MODE, USER_NETWORK],
      ['shared', own('shared', '192.168.105')],
      ['bridged', { ...NONE, mode: 'bridged', interface: 'en0' }],
      ['host', own('host', '192.168.106')],
    ]),
  }
}

/** The networks that are socket_vmnet's, in the order of Lima's sudoers. */
export function vmnetNetworks({ networks }: LimaConfig): [name: string, network: LimaNetwork][] {
  return [...networks].filter(([, { mode }]) => mode !== USER_MODE).sort(([a], [b]) => (a < b ? -1 : 1))
}

export interface ReadConfig {
  config: LimaConfig
  /** Keys that Lima does not know, with their places: it warns of them, and later will refuse them. */
  unknown: string[]
}

/**
 * Reads the text of a networks.yaml; `file` is its name for errors.
 * @throws BridgeError ERR_LIMA_CONFIG with file, line and column
 */
export function readConfig(text: string, file: string): ReadConfig {
  const yaml = readYaml(text)
  const reader = new Reader(yaml, file)
  const [error] = yaml.errors
  if (error !== undefined) reader.refuse(error.message, error.at)
  const top = reader.fieldsOf(yaml.document.contents, 'the file')
  const paths = reader.fieldsOf(top.get('paths')?.value, 'paths')
  const config: LimaConfig = {
    socketVmnet: reader.text(paths, 'socketVMNet'),
    varRun: reader.text(paths, 'varRun'),
    sudoers: reader.text(paths, 'sudoers'),
    group: reader.text(top, 'group'),
    networks: new Map(),
  }
  reader.note(paths, ['socketVMNet', 'varRun', 'sudoers'])
  for (const [name, { value }] of reader.fieldsOf(top.get('networks')?.value, 'networks')) {
    const fields = reader.fieldsOf(value, `networks.${name}`)
    config.networks.set(name, {
      mode: reader.text(fields, 'mode'),
      interface: reader.text(fields, 'interface'),
      gateway: reader.address(fields, 'gateway'),
      dhcpEnd: reader.address(fields, 'dhcpEnd'),
      netmask: reader.address(fields, 'netmask'),
    })
    reader.note(fields, Object.keys(NONE))
  }
  reader.note(top, ['paths', 'group', 'networks'])
  // As Lima fills it in, over another of that name, too.
  if (![...config.networks.values()].some(({ mode, gateway }) => mode === USER_MODE && gateway !== ''))
    config.networks.set(USER_MODE, USER_NETWORK)
  return { config, unknown: reader.unknown }
}

/** By name: the value, and where the name stands. */
type Fields = Map<string, { value: unknown; at: number | undefined }>

class Reader {
  readonly unknown: string[] = []
  readonly #yaml: YamlText
  readonly #file: string

  constructor(yaml: YamlText, file: string) {
    this.#yaml = yaml
    this.#file = file
  }

  refuse(what: string, at: number | undefined): never {
    const place = at === undefined ? '' : `${this.#place(at)}: `
    throw new BridgeError('ERR_LIMA_CONFIG', `${this.#file}: ${place}${what}`, {
      hint: 'correct it; or move it away, and Lima writes a new one at its next start',
    })
  }

  /** The entries of a mapping; none where there is nothing. */
  fieldsOf(given: unknown, what: string): Fields {
    const node = this.#follow(given)
    const fields: Fields = new Map()
    if (node === null || node === undefined || (isScalar(node) && node.value === null)) return fields
    if (!isMap(node)) this.refuse(`${what} is no mapping (NAME: VALUE)`, startOf(node))
    for (const { key, value } of (node as YAMLMap).items) {
      const name = this.#scalar(key, 'a name')
      if (name === '<<') this.refuse('a merge key (<<): write what it stands for', startOf(key))
      fields.set(name, { value, at: startOf(key) })
    }
    return fields
  }

  text(fields: Fields, name: string): string {
    return this.#scalar(fields.get(name)?.value, name)
  }

  address(fields: Fields, name: string): string {
    const text = this.text(fields, name)
    if (text === '' || isIPv4(text)) return text
    return this.refuse(`${name} "${text}" is no IPv4 address`, startOf(fields.get(name)?.value))
  }

  /** Notes the names that are none of those. */
  note(fields: Fields, known: readonly string[]): void {
    for (const [name, { at }] of fields) {
      if (known.includes(name)) continue
      // One line, whatever somebody wrote there.
      const word = /\n/.test(name) ? JSON.stringify(name) : name
      this.unknown.push(at === undefined ? word : `${word} (${this.#place(at)})`)
    }
  }

  #scalar(given: unknown, what: string): string {
    const node = this.#follow(given)
    if (node === null || node === undefined) return ''
    if (!isScalar(node)) this.refuse(`${what} is no text`, startOf(node))
    const { value, source } = node
    if (value === null) return ''
    if (typeof value === 'string') return value
    // Lima has numbers and the like as text, but in its own notation: 010 is 8 there.
    if (String(value) === source) return source
    return this.refuse(`${what} ${source ?? ''}: write it in quotes`, startOf(node))
  }

  #follow(node: unknown): unknown {
    if (!isAlias(node)) return node
    return node.resolve(this.#yaml.document) ?? this.refuse(`nothing is named &${node.source}`, startOf(node))
  }

  #place(at: number): string {
    const { line, column } = this.#yaml.placeOf(at)
    return `line ${line}, column ${column}`
  }
}

/**
 * The programs: the stand-ins, talosctl, where root's PATH leads, and the QEMU behind it all.
 */

import { dirname, join } from 'node:path'
import { BridgeError } from '../../errors.js'
import { shellQuote } from '../../shell.js'
import { readSettings, STAND_INS, TALOS } from '../settings.js'
import { generationOf, parseTalosVersion } from '../version.js'
import type { Wanted } from './check.js'
import { failed, ok, skipped, warning, type Finding } from './finding.js'
import type { Machine } from './machine.js'

const ROOT = 0
/** Writable for the group or for everybody. */
const OTHERS_WRITE = 0o022
const EXECUTABLE = 0o111

const vmbridge = (prefix: string): string => shellQuote(join(prefix, 'bin/vmbridge'))
const runFix = (prefix: string): string =>
  `sudo -E ${vmbridge(prefix)} talos run -- talosctl cluster create qemu`
const optionOf = (prefix: string): string => `--prefix ${shellQuote(prefix)}`

/** The one that this machine's clusters are made with. */
const standInFor = (arch: string): string => (arch === 'arm64' ? STAND_INS[0] : STAND_INS[1])

export function checkStandIns(machine: Machine, { prefix }: Wanted): Finding[] {
  const name = 'stand-ins'
  const folder = join(prefix, TALOS)
  const again = `sudo ${vmbridge(prefix)} talos install ${optionOf(prefix)}`
  const paths = [folder, ...STAND_INS.map(program => join(folder, program))]
  const missing = paths.find(path => machine.stat(path) === undefined)
  if (missing !== undefined || readSettings(folder) === undefined) {
    const install = `sudo vmbridge install ${optionOf(prefix)} && ${again}`
    return [failed(name, `${missing ?? `the settings in ${folder}`}: not there, or not to be read`, install)]
  }
  // Root starts them: who can change one of these, or what they lie in, is root.
  for (const path of [...above(folder), ...paths]) {
    const facts = machine.stat(path)
    if (facts === undefined) continue
    const wrong = wrongOf(facts)
    if (wrong !== undefined) return [failed(name, `${path} ${wrong}`, `${fixOf(facts)} ${shellQuote(path)}`)]
  }
  for (const path of paths.slice(1)) {
    const facts = machine.stat(path)
    if (facts?.kind !== 'file' || (facts.mode & EXECUTABLE) === 0)
      return [failed(name, `${path} is no program`, again)]
  }
  return [ok(name, `${folder}, of root alone`)]
}

const above = (path: string): string[] =>
  dirname(path) === path ? [] : [...above(dirname(path)), dirname(path)]

/** A folder of everybody's with the sticky bit lets nobody replace what is root's. */
const isSticky = ({ kind, mode }: { kind: string; mode: number }): boolean =>
  kind === 'folder' && (mode & 0o1000) !== 0

function wrongOf(facts: { kind: string; uid: number; gid: number; mode: number }): string | undefined {
  if (facts.uid !== ROOT) return `is of the user ${facts.uid}, not of root`
  if ((facts.mode & OTHERS_WRITE) === 0 || isSticky(facts)) return undefined
  return facts.mode & 0o002 || facts.gid !== ROOT ? 'can be changed by others than root' : undefined
}

const fixOf = ({ uid }: { uid: number }): string => (uid === ROOT ? 'sudo chmod go-w' : 'sudo chown root')

export function checkTalosctl(machine: Machine): Finding[] {
  const name = 'talosctl'
  const [path] = machine.find('talosctl')
  if (path === undefined) {
    const install =
      machine.platform === 'darwin'
        ? 'brew install siderolabs/tap/talosctl'
        : 'curl -sL https://talos.dev/install | sh'
    return [failed(name, 'there is none in PATH', install)]
  }
  const { status, stdout, stderr } = machine.run([path, 'version', '--client', '--short'])
  const version = parseTalosVersion(stdout)
  if (status !== 0 || version === undefined) {
    const said = (stderr || stdout).trim().split('\n')[0] || 'nothing'
    return [
      failed(name, `${path} does not say its version, but: ${said}`, `${shellQuote(path)} version --client`),
    ]
  }
  const about = `${path}, ${version.text}`
  switch (generationOf(version)) {
    case 'G1':
      return [ok(name, `${about}: takes the first free bridge100 to bridge199 for its own`)]
    case 'G2':
      return [ok(name, `${about}: waits for the interface with the gateway's address`)]
    case undefined:
      return [warning(name, `${about}: before v1.11 was not looked at`, 'a newer talosctl')]
  }
}

/** What talosctl finds as root, without `talos run` and with it. */
export function checkPath(machine: Machine, { prefix }: Wanted): Finding[] {
  const name = 'path'
  const path = rootPath(machine)
  if (path === undefined) {
    const what = "sudo asks for a password, so root's PATH is not known; `talos run` works with any"
    return [skipped(name, `${what}; to see: sudo ${vmbridge(prefix)} talos doctor`)]
  }
  const [talosctl] = machine.find('talosctl', path)
  const [own] = machine.find('talosctl')
  if (talosctl === undefined && own !== undefined) {
    const fix = runFix(prefix).replace('-- talosctl', `-- ${shellQuote(own)}`)
    return [warning(name, `root's PATH (${path}) does not lead to talosctl`, fix)]
  }
  const program = standInFor(machine.arch)
  const [first] = machine.find(program, path)
  if (first === join(prefix, TALOS, program)) return [ok(name, `root finds ${first} first`)]
  const what = first === undefined ? `no ${program} in root's PATH` : `root finds ${first} first`
  return [warning(name, `${what}: a plain \`sudo talosctl\` would pass the switch by`, runFix(prefix))]
}

/**
 * What sudo gives as PATH. Root, by sudo or not, has it already. Another user asks sudo itself, where that needs no
 * password: sudoers is not to be read, and `sudo -V` tells only root of secure_path.
 */
function rootPath({ uid, env, find, run }: Machine): string | undefined {
  if (uid === ROOT) return env['PATH'] ?? ''
  const [sudo] = find('sudo')
  if (sudo === undefined) return undefined
  const { status, stdout } = run([sudo, '-n', '/usr/bin/env'])
  return status === 0 ? /^PATH=(.*)$/m.exec(stdout)?.[1] : undefined
}

export function checkQemu(machine: Machine, { prefix }: Wanted): Finding[] {
  const name = 'qemu'
  const program = standInFor(machine.arch)
  const folder = join(prefix, TALOS)
  const configured = readSettings(folder)?.qemu[program]
  const path = rootPath(machine) ?? machine.env['PATH'] ?? ''
  const upgrade = machine.platform === 'darwin' ? 'brew upgrade qemu' : 'a newer QEMU'
  let real: string
  try {
    const self = join(folder, program)
    const wanted = { name: program, path, ...(machine.stat(self) !== undefined && { self }) }
    real = machine.findQemu({ ...wanted, ...(configured !== undefined && { configured }) })
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    return [failed(name, error.message, lackFix(machine, prefix, program))]
  }
  const facts = machine.askQemu(real)
  if (facts === undefined)
    return [failed(name, `${real} does not answer as a QEMU does`, `${shellQuote(real)} -version`)]
  const about = `${real}, ${facts.version}`
  switch (facts.reconnect) {
    case undefined:
      return [failed(name, `${about}: has no -netdev stream, which came with 7.2`, upgrade)]
    case 'none':
      return [
        warning(
          name,
          `${about}: VMs stay cut off when the daemon restarts; from 8.0 on they come back`,
          upgrade,
        ),
      ]
    default:
      return [ok(name, `${about}: -netdev stream with ${facts.reconnect}`)]
  }
}

/** Where this user's PATH leads to one, root only has to be told. */
function lackFix(machine: Machine, prefix: string, program: string): string {
  const own = machine.find(program).find(path => !path.startsWith(join(prefix, TALOS)))
  if (own !== undefined)
    return `sudo ${vmbridge(prefix)} talos install ${optionOf(prefix)} --qemu ${shellQuote(own)}`
  const isArm = program === STAND_INS[0]
  return machine.platform === 'darwin'
    ? 'brew install qemu'
    : `sudo apt-get install qemu-system-${isArm ? 'arm' : 'x86'}`
}

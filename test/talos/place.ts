// Where the stand-ins for QEMU are tested: a prefix that has the shape of an installed tree and is made of links into
// this checkout, and a QEMU of the test's own that says how it was started (fake-qemu.c). As root a stand-in keeps what
// it learnt of QEMUs in /var/lib: it is started in a mount namespace that has the test's folder there.

import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { STAND_INS, type TalosSettings } from '../../src/talos/settings.js'
import { scratch } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { ROOT } from '../helpers/root.js'

export type Place = {
  /** PREFIX */
  prefix: string
  /** PREFIX/talos */
  standIns: string
  /** The folder of the QEMUs, which may be changed. */
  bin: string
  /** The cluster's state folder, S. */
  state: string
  control: string
  /** Where QEMU says how it was started. */
  out: string
  /** What the stand-ins remember of QEMUs. */
  cache: string
}

/** QEMUs, as fake-qemu.c reads them. */
export const QEMU_10 = '10.0.2 stream reconnect-ms reconnect \n'
export const QEMU_9 = '9.1.0 stream reconnect \n'
export const QEMU_7 = '7.2.22 stream\n'
export const QEMU_6 = '6.2.0\n'

let compiled: Buffer | undefined

async function fakeQemu(folder: string): Promise<Buffer> {
  const path = join(folder, 'fake-qemu')
  const { status, stderr } = await execute(['cc', '-O1', '-o', path, join(ROOT, 'test/talos/fake-qemu.c')])
  if (status !== 0) throw new Error(stderr)
  return readFileSync(path)
}

export async function place(
  t: Scope,
  { version = QEMU_10, ...settings }: Partial<TalosSettings> & { version?: string } = {},
): Promise<Place> {
  const prefix = scratch(t)
  compiled ??= await fakeQemu(prefix)
  const made = (name: string): string => {
    mkdirSync(join(prefix, name))
    return join(prefix, name)
  }
  for (const name of ['dist', 'build', 'node_modules', 'package.json'])
    symlinkSync(join(ROOT, name), join(prefix, name))
  symlinkSync(process.execPath, join(prefix, 'node'))
  const [standIns, bin, state, out] = [made('talos'), made('bin'), made('S'), made('out')]
  const remembered = made('vmbridge')
  for (const name of STAND_INS) {
    copyFileSync(join(ROOT, 'build/Release/launcher'), join(standIns, name))
    writeFileSync(join(bin, name), compiled, { mode: 0o755 })
    writeFileSync(join(bin, `${name}.version`), version)
  }
  const written = { format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {}, ...settings }
  writeFileSync(join(standIns, 'settings.json'), JSON.stringify(written))
  const cache = join(remembered, 'talos/qemu.json')
  return { prefix, standIns, bin, state, control: join(prefix, 'c'), out, cache }
}

const IN_NAMESPACE =
  'mount -t tmpfs vbt /var/lib && mkdir /var/lib/vmbridge && mount --bind "$0/vmbridge" /var/lib/vmbridge && exec "$@"'

/** Makes of a command one that keeps nothing outside of the test's folder; the PID stays. */
export const inPlace = ({ prefix }: Place, argv: readonly string[]): string[] =>
  process.getuid?.() === 0 ? ['unshare', '--mount', 'sh', '-c', IN_NAMESPACE, prefix, ...argv] : [...argv]

export const environmentOf = ({ prefix, standIns, bin, control, out }: Place): Record<string, string> => ({
  PATH: `${standIns}:${bin}:/usr/sbin:/usr/bin:/sbin:/bin`,
  VMBRIDGE_CONTROL: control,
  FAKE_QEMU_OUT: out,
  XDG_STATE_HOME: prefix,
})

/** Writes bytes as they are: arguments that are not UTF-8 come through no spawn of Node's. */
const EXEC_HEX = ['perl', '-e', 'exec map { pack "H*", $_ } @ARGV']
const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex')

/** Starts what talosctl would find by that name. @param args a character is a byte */
export function startStandIn(
  where: Place,
  args: readonly string[],
  { name = STAND_INS[0], env = {} }: { name?: string; env?: Record<string, string> } = {},
): Child {
  const argv = [...EXEC_HEX, ...[join(where.standIns, name), ...args].map(hex)]
  return Child.launch(inPlace(where, argv), { env: { ...environmentOf(where), ...env } })
}

/** What QEMU was started with, a character a byte; undefined where it was not. */
export function seenBy({ out }: Place): string[] | undefined {
  try {
    const text = readFileSync(join(out, 'cmdline'), 'latin1')
    return text.split('\0').slice(0, -1)
  } catch {
    return undefined
  } finally {
    rmSync(join(out, 'cmdline'), { force: true })
  }
}

/** The exit status of fake-qemu.c. */
export const QEMU_ENDED = 7

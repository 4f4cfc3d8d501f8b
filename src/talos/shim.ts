/**
 * The stand-in for QEMU that talosctl starts: each netdev of Apple's vmnet becomes a port of a network of ours, and
 * this process becomes the real QEMU, which finds everything else as talosctl left it. A command line without such a
 * netdev needs no daemon and no settings.
 */

import { existsSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { CONTROL_NAME, findInRun, ownPlace } from '../config/paths.js'
import { ControlClient } from '../control/client.js'
import { BridgeError } from '../errors.js'
import { bytesOf, native } from '../native.js'
import { printable } from '../printable.js'
import { findVmnetNetdevs, stateFolderOf, streamNetdev, type VmnetNetdev } from './argv.js'
import { attach, type Attachment, type Patience } from './attach.js'
import { findPlanned } from './ipam.js'
import { factsOf } from './qemu-cache.js'
import { findQemu, pathFor, requireStream } from './qemu.js'
import { readSettings, SETTINGS, type TalosSettings } from './settings.js'

/** For the VM to come after its network is made: QEMU starts at once, on a machine that may be busy. */
const WAIT_SECONDS = 30
/** An MTU up to this one fits every network. */
const USUAL_MTU = 1500

/** How long a daemon that is not there is waited for, in ms: talosctl waits a minute for the bridge. */
export const PATIENCE: Patience = {
  total: 15_000,
  pause: 200,
  now: () => performance.now(),
  sleep: ms => new Promise(resolve => setTimeout(resolve, ms)),
}

/** Becomes the real QEMU; returns an exit status only where it cannot, after one line on stderr. */
export async function runShim(self: string, args: readonly string[], patience = PATIENCE): Promise<number> {
  const name = basename(self)
  try {
    await becomeQemu(self, args, patience)
  } catch (error) {
    say(name, explain(error))
  }
  return 1
}

async function becomeQemu(self: string, args: readonly string[], patience: Patience): Promise<void> {
  const name = basename(self)
  const settings = readSettings(dirname(self))
  const bytes = bytesOf(args).map(each => Buffer.from(each).toString('latin1'))
  const configured = settings?.qemu[name]
  const path = process.env['PATH'] ?? ''
  const qemu = findQemu({ name, path, self, ...(configured !== undefined && { configured }) })
  const itsPath = pathFor(qemu, { name, path, self })
  if (itsPath !== path) process.env['PATH'] = itsPath
  const netdevs = findVmnetNetdevs(bytes)
  if (netdevs.length > 0) {
    if (settings === undefined && existsSync(join(dirname(self), SETTINGS)))
      throw new BridgeError('ERR_SETTINGS', `${join(dirname(self), SETTINGS)} is damaged`, {
        hint: 'sudo vmbridge talos install',
      })
    const facts = factsOf(qemu, join(ownPlace().state, 'talos', 'qemu.json'))
    const reconnect = facts === undefined ? 'none' : requireStream(qemu, facts)
    const end = patience.now() + patience.total
    const left = (): number => Math.max(1, end - patience.now())
    const daemon = new ControlClient(process.env['VMBRIDGE_CONTROL'] || findInRun(CONTROL_NAME), left)
    for (const netdev of netdevs) {
      const attachment = attachmentOf(netdev, bytes, settings?.dhcp ?? 'answer')
      const { socket, hasMtu } = await attach(daemon, attachment, patience)
      if (!hasMtu)
        say(name, `the network ${netdev.gateway} was made with another MTU than ${netdev.mtu}, and keeps it`)
      if (isUnplanned(netdev, attachment))
        say(name, `${netdev.mac} is not in ipam.db: its DHCP gets no answer`)
      bytes[netdev.at] = streamNetdev(netdev.id, Buffer.from(socket).toString('latin1'), reconnect)
    }
  }
  const inherited = process.env['VMBRIDGE_INHERITED']
  const argv = [Buffer.from(qemu), ...bytes.map(each => Buffer.from(each, 'latin1'))]
  try {
    native.exec({ args: argv, ...(inherited !== undefined && { inherited }) })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new BridgeError('ERR_EXEC', `cannot start ${qemu}: ${reason}`, { cause })
  }
}

function attachmentOf(
  { gateway, mac, mtu }: VmnetNetdev,
  args: readonly string[],
  dhcp: TalosSettings['dhcp'],
): Attachment {
  const isLarge = mtu !== undefined && mtu > USUAL_MTU
  const network = { gateway, mode: 'shared', dhcp, wait: WAIT_SECONDS, ...(isLarge && { mtu }) } as const
  const folder = stateFolderOf(args)
  if (dhcp === 'passthrough' || mac === undefined || folder === undefined) return { network }
  const reservation = findPlanned(Buffer.from(folder, 'latin1'), mac)
  return { network, ...(reservation !== undefined && { reservation }) }
}

/** A node without an address; the paused VM that keeps a network alive has no MAC, and wants none. */
const isUnplanned = ({ mac }: VmnetNetdev, { network, reservation }: Attachment): boolean =>
  mac !== undefined && network.dhcp === 'answer' && reservation === undefined

/** The node's log has it. */
const say = (name: string, text: string): void =>
  void writeSync(2, `${name}: ${printable(text).replaceAll('\n', ' ')}\n`)

/** What to do about what the daemon, or its absence, says. */
const HINTS: Record<string, string> = {
  ERR_NO_DAEMON: 'sudo vmbridge service start',
  ERR_NOT_FOUND: 'restart the daemon, which is older than this: sudo vmbridge service stop, then start',
}

/** What went wrong and what to do. */
function explain(error: unknown): string {
  if (!(error instanceof BridgeError)) return error instanceof Error ? error.message : String(error)
  const hint = error.hint ?? HINTS[error.code]
  return hint === undefined ? error.message : `${error.message} (try: ${hint})`
}

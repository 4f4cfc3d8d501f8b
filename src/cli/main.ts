/**
 * The command line's entry: finds the command, loads its module and nothing else, and turns errors into one
 * line on stderr and an exit status (1 for a failure, 2 for wrong usage, 3 when no daemon answers).
 */

import { writeSync } from 'node:fs'
import { BridgeError, UsageError } from '../errors.js'
import { version } from '../version.js'
import { helpOf, parseCommand, type Command, type Parsed } from './options.js'

export interface CommandModule {
  command: Command
  /** Resolves to the exit status, or to undefined for a command that goes on until it ends the process itself. */
  run(parsed: Parsed): Promise<number | undefined>
}

const COMMANDS: Record<string, { load: () => Promise<CommandModule>; summary: string }> = {
  daemon: { load: () => import('./daemon.js'), summary: 'run the switch, its uplink and its DHCP server' },
  run: {
    load: () => import('./run.js'),
    summary: 'start a program (QEMU) with a port of the switch on descriptor 3',
  },
  plug: {
    load: () => import('./plug.js'),
    summary: 'join this or another network namespace to the segment (Linux)',
  },
  interfaces: { load: () => import('./interfaces.js'), summary: 'show what VMs can be bridged to (macOS)' },
  selftest: {
    load: () => import('./selftest.js'),
    summary: 'check on this machine what VMs need of it: leases, ARP, VIPs, throughput',
  },
  status: { load: () => import('./status.js'), summary: 'show uplink, ports, addresses, drops and leases' },
  networks: {
    load: () => import('./networks.js'),
    summary: 'show the networks of the daemon',
  },
  network: {
    load: () => import('./network.js'),
    summary: 'add a network on demand, or remove one',
  },
  leases: { load: () => import('./leases.js'), summary: 'show who has which address, or release one' },
  reservations: {
    load: () => import('./reservations.js'),
    summary: 'keep addresses for one client each',
  },
  install: {
    load: () => import('./install.js'),
    summary: 'install a tree of root that a service starts from, or upgrade it',
  },
  uninstall: { load: () => import('./uninstall.js'), summary: 'remove what install put there' },
  lima: {
    load: () => import('./lima.js'),
    summary: 'check what Lima needs to start vmbridge as its socket_vmnet; its sudoers file',
  },
  service: { load: () => import('./service.js'), summary: 'have the daemon run at boot: launchd or systemd' },
  talos: {
    load: () => import('./talos.js'),
    summary: 'put the VMs of talosctl on the switch',
  },
}

const NAME_WIDTH = Math.max(...Object.keys(COMMANDS).map(name => name.length))

const USAGE = [
  'vmbridge: a userspace Ethernet switch for virtual machines\n',
  'usage: vmbridge COMMAND [OPTION]...\n',
  ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(NAME_WIDTH)} ${summary}`),
  '\nvmbridge COMMAND --help shows a command with examples; vmbridge --version the version.',
  '',
].join('\n')

async function main(args: readonly string[]): Promise<number | undefined> {
  const [name = '', ...rest] = args
  if (name === '--version' || name === '-v') return say(`${version()}\n`)
  if (name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) return say(USAGE)
  const wanted = name === 'help' ? rest[0] : name
  const found = Object.hasOwn(COMMANDS, wanted) ? COMMANDS[wanted] : undefined
  if (found === undefined) {
    throw new UsageError(
      wanted === '' ? 'no command given' : `unknown command "${wanted}"`,
      'vmbridge --help',
    )
  }
  const { command, run } = await found.load()
  const parsed = name === 'help' ? undefined : parseCommand(command, rest)
  return parsed === undefined ? say(helpOf(command)) : run(parsed)
}

/** Writes to stdout without making a stream of it: `run` hands its descriptors on as they came. */
function say(text: string): number {
  writeSync(1, text)
  return 0
}

function fail(error: unknown): number {
  if (error instanceof BridgeError) {
    const hint = error.hint === undefined ? '' : `\n  try: ${error.hint}`
    writeSync(2, `vmbridge: ${error.message}${hint}\n`)
    return error instanceof UsageError ? 2 : 1
  }
  const { syscall, message } = error as NodeJS.ErrnoException
  const told: Record<string, string> = {
    write: `cannot write the output: ${message}`,
    // Somebody removed it, or its path is too long.
    uv_cwd: `the current folder has no path: ${message}\n  try: cd to another, or absolute paths`,
  }
  writeSync(2, `vmbridge: ${told[syscall ?? ''] ?? (error as Error).stack ?? String(error)}\n`)
  return 1
}

export async function runCommandLine(args: readonly string[]): Promise<void> {
  const status = await main(args).catch(fail)
  if (status !== undefined) process.exitCode = status
}

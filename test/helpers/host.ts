// The host of a story: a network namespace of the test's own on Linux (netns.ts), and the machine itself where
// there are no namespaces. What a test asks of its network is put here in the words of either system.

import { setTimeout } from 'node:timers/promises'
import { readArp, readProcArp } from '../../src/selftest/host-side.js'
import { parseIpv4 } from '../../src/wire/ipv4.js'
import { Child, execute, type LaunchOptions } from './child.js'

/** The machine itself, with its interfaces, routes and neighbours. */
export class Host {
  readonly name: string = 'this host'

  /** The argument vector that runs a program on this host, with the program's own pid. */
  wrap(argv: readonly string[]): string[] {
    return [...argv]
  }

  exec(argv: readonly string[], options: LaunchOptions & { timeoutMs?: number; input?: string } = {}) {
    return execute(this.wrap(argv), options)
  }

  /** As `exec`, for a program that must succeed: its stdout. */
  async sh(...argv: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.exec(argv)
    if (status !== 0) throw new Error(`${this.name}: ${argv.join(' ')}: status ${status}\n${stdout}${stderr}`)
    return stdout
  }

  spawn(argv: readonly string[], options: LaunchOptions = {}): Child {
    return Child.launch(this.wrap(argv), options)
  }
}

/** How long a ping waits for its answer: seconds for iputils, milliseconds for BSD's. */
const ONE_SECOND = process.platform === 'darwin' ? '1000' : '1'

/** Whether `ip` answers one of at most `attempts` echo requests, a second each. */
export async function answers(host: Host, ip: string, attempts = 10): Promise<boolean> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    if ((await host.exec(['ping', '-n', '-c', '1', '-W', ONE_SECOND, ip])).status === 0) return true
  }
  return false
}

/** The MAC address that the host has in its neighbour table for an IPv4 address. */
export async function macBehind(host: Host, ip: string): Promise<string | undefined> {
  const address = parseIpv4(ip)!
  if (process.platform === 'darwin') return readArp(await host.sh('arp', '-an'), address)
  return readProcArp(await host.sh('cat', '/proc/net/arp'), address)
}

/** Whether that becomes `mac` within 10 s, by what others say: the host itself is not made to ask. */
export async function becomesMacBehind(host: Host, ip: string, mac: string): Promise<boolean> {
  const deadline = performance.now() + 10_000
  for (;;) {
    if ((await macBehind(host, ip)) === mac) return true
    if (performance.now() > deadline) return false
    await setTimeout(50)
  }
}

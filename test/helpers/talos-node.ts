// A node of a cluster that talosctl's stand-in made, by what that left in the cluster's folder: its launcher, its QEMU, and
// its guest, which takes commands on the port of the guest agent (e2e/talosctl/node-init is the other end).

import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { NodePlan } from '../e2e/talosctl/cluster.js'
import { QEMU_NAME } from '../e2e/talosctl/qemu.js'

/** Polls for what no event tells: a file, an interface, an answer of another program. */
export async function eventually<T>(
  look: () => T | undefined | Promise<T | undefined>,
  what: string,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await pause(100)
  }
}

/** Whether a process runs, and is not merely waited for. */
export const runs = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}

const childrenOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

/** The name of a process's program; that of an interpreter, as long as QEMU's stand-in is a script. */
const programOf = (pid: number): string | undefined => {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`))
  } catch {
    return undefined
  }
}

/** A node, by what talosctl left of it in the cluster's folder. */
export class TalosNode {
  readonly name: string
  readonly ip: string
  readonly mac: string
  readonly #state: string

  constructor(state: string, { name, ip, mac }: NodePlan) {
    this.name = name
    this.ip = ip
    this.mac = mac
    this.#state = state
  }

  get launcher(): number {
    return Number(readFileSync(this.#file('.pid'), 'utf8'))
  }

  /** The PID of its QEMU, which is the launcher's direct child; undefined while there is none. */
  get qemu(): number | undefined {
    return childrenOf(this.launcher).find(pid => runs(pid) && programOf(pid) === QEMU_NAME)
  }

  get logPath(): string {
    return this.#file('.log')
  }

  get apiPort(): number {
    return Number(readFileSync(this.#file('.port'), 'utf8'))
  }

  /** Runs a line of shell in the guest, which may still boot, and returns its output; it must succeed. */
  async sh(command: string, timeoutMs = 60_000): Promise<string> {
    const nonce = randomBytes(8).toString('hex')
    const escaped = command.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
    const text = await this.#exchange(`${nonce} ${escaped}\n`, new RegExp(`^${nonce} = .*\n`, 'm'), timeoutMs)
    const status = Number(new RegExp(`^${nonce} = (\\d+)`, 'm').exec(text)?.[1])
    const output = new RegExp(`^${nonce} - (.*)$`, 'm').exec(text)?.[1] ?? ''
    const stdout = Buffer.from(output, 'base64').toString()
    if (status !== 0) throw new Error(`${this.name}: ${command}: status ${status}\n${stdout}`)
    return stdout
  }

  /** What the guest was told by DHCP: udhcpc's variables. */
  async lease(): Promise<Record<string, string>> {
    const file = '/tmp/lease.env'
    const text = await this.sh(`until grep -q ^ip= ${file} 2>/dev/null; do sleep 0.1; done; cat ${file}`)
    const entry = (line: string) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]
    return Object.fromEntries(text.split('\n').map(entry)) as Record<string, string>
  }

  /** As `lease`, once the guest has asked its server for it again. */
  async renew(): Promise<Record<string, string>> {
    await this.sh('rm /tmp/lease.env; killall -USR1 udhcpc')
    return this.lease()
  }

  /** The guest reboots by itself; resolves when it has leased its address again. */
  async reboot(): Promise<Record<string, string>> {
    const before = this.qemu
    await this.#exchange('- reboot -f\n', undefined, 60_000)
    await eventually(() => this.qemu !== undefined && this.qemu !== before, `${this.name} is started again`)
    return this.lease()
  }

  /** Over what the guest agent's port is on talosctl's command line. Resolves at the end that is wanted, or at QEMU's. */
  async #exchange(message: string, end: RegExp | undefined, timeoutMs: number): Promise<string> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const text = await this.#tryExchange(message, end, deadline - performance.now())
      if (text !== undefined) return text
      if (performance.now() > deadline) throw new Error(`${this.name}: no answer to ${message}`)
      await pause(100)
    }
  }

  /** Undefined when nobody listens. */
  #tryExchange(message: string, end: RegExp | undefined, timeoutMs: number): Promise<string | undefined> {
    return new Promise(resolve => {
      let text = ''
      let isConnected = false
      const socket = connect(this.#file('.sock'), () => {
        isConnected = true
        socket.write(message)
      })
      const finish = (result: string | undefined) => {
        clearTimeout(timer)
        socket.destroy()
        resolve(result)
      }
      const timer = setTimeout(finish, timeoutMs, undefined)
      socket.on('data', chunk => {
        text += chunk.toString('latin1')
        if (end?.test(text)) finish(text)
      })
      socket.on('error', () => {})
      socket.on('close', () => finish(isConnected && end === undefined ? text : undefined))
    })
  }

  #file(suffix: string): string {
    return join(this.#state, this.name + suffix)
  }
}

// A real VM: QEMU under TCG with the arm64 image that scripts/test-deps builds, driven over its serial
// console. It boots to its prompt in about 1.5 s and answers a command in some 40 ms (2 cores, no KVM).
// test/guest/init is the other end of the console and describes what passes over it.

import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Child, type Exit } from './child.js'
import { ROOT } from './root.js'

export type GuestOptions = {
  name: string
  mac: string
  /** The value of QEMU's -netdev; its id must be `n`. */
  netdev: string
  /** Arguments for the NIC beside its MAC, as in `host_mtu=9000`. */
  nic?: string
  /** A command that QEMU's own command line is appended to, such as `vmbridge run --socket S --`. */
  wrap?: readonly string[]
  /** An open descriptor that QEMU finds as its descriptor 3. */
  fd?: number
  /** More of QEMU's arguments. */
  extra?: readonly string[]
  /** The QEMU to run, if not the one in PATH. */
  qemu?: string
  memoryMib?: number
  timeoutMs?: number
}

export type CommandResult = { status: number; stdout: string }

export type RunOptions = { timeoutMs?: number }

export function guestImage(): { kernel: string; initrd: string; stamp: string } {
  const directory = process.env.VMBRIDGE_GUEST_DIR || join(homedir(), '.cache/vmbridge/guest-arm64')
  return {
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd.cpio.gz'),
    stamp: join(directory, 'stamp'),
  }
}

/** Whether scripts/test-deps has built the guest, and from the sources that are here now. */
export function guestIsBuilt(): boolean {
  const { kernel, initrd, stamp } = guestImage()
  if (![kernel, initrd, stamp].every(path => existsSync(path))) return false
  const directory = join(ROOT, 'test/guest')
  const sources = readdirSync(directory)
    .sort()
    .map(name => join(directory, name))
  const hash = createHash('sha256')
  for (const path of [join(ROOT, 'scripts/test-deps'), ...sources]) hash.update(readFileSync(path))
  return hash.digest('hex') === readFileSync(stamp, 'utf8').trim()
}

/** Where scripts/test-qemu-10 puts QEMU 10, which is there beside the QEMU that is installed. */
export const QEMU_10 = join(
  process.env.VMBRIDGE_QEMU10_DIR || join(homedir(), '.cache/vmbridge/qemu-10'),
  'qemu-system-aarch64',
)

/** The `-netdev` of a guest that dials the switch itself. */
export const streamNetdev = (socket: string) => `stream,id=n,server=off,addr.type=unix,addr.path=${socket}`

/** The `-netdev` of a guest whose NIC is the socket on descriptor 3, as `vmbridge run` leaves it. */
export const FD3_NETDEV = 'socket,id=n,fd=3'

// A line longer than the console's tty buffer would wait for a reader that waits for the line's end.
const LONGEST_COMMAND = 4000

// The kernel arguments after `panic` spare 0.3 s of a boot that needs no crypto self-tests and no keys.
export const KERNEL_ARGUMENTS =
  'console=ttyAMA0 quiet panic=-1 cma=0 cryptomgr.notests initcall_blacklist=load_system_certificate_list'

export class Guest {
  readonly name: string
  readonly mac: string
  #qemu: Child
  // The guest takes one command at a time.
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(name: string, mac: string, qemu: Child) {
    this.name = name
    this.mac = mac
    this.#qemu = qemu
  }

  /** Starts QEMU and waits for the guest's prompt. Nothing is left behind when that fails. */
  static async boot(options: GuestOptions): Promise<Guest> {
    const { name, mac, netdev, nic, wrap = [], fd, extra = [], memoryMib = 96, timeoutMs = 60_000 } = options
    const { kernel, initrd } = guestImage()
    const { qemu: program = 'qemu-system-aarch64' } = options
    const machine = ['-M', 'virt', '-cpu', 'cortex-a72', '-accel', 'tcg', '-m', String(memoryMib)]
    const console = ['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio']
    const image = ['-kernel', kernel, '-initrd', initrd, '-append', KERNEL_ARGUMENTS, '-no-reboot']
    const device = ['virtio-net-pci', 'netdev=n', `mac=${mac}`, 'romfile=', ...(nic ? [nic] : [])].join(',')
    const network = ['-netdev', netdev, '-device', device]
    const argv = [...wrap, program, '-name', name, ...machine, ...console, ...image, ...network, ...extra]
    const qemu = Child.launch(argv, { stdin: true, ...(fd === undefined ? {} : { fd }) })
    try {
      await qemu.waitForLine(/^vmbridge-guest ready$/, { timeoutMs })
    } catch (error) {
      await qemu.close()
      throw error
    }
    return new Guest(name, mac, qemu)
  }

  get pid(): number {
    return this.#qemu.pid
  }

  get exited(): Promise<Exit> {
    return this.#qemu.exited
  }

  /**
   * Runs a line of shell in the guest; stdout and stderr come back as one text. A command that is not done
   * within `timeoutMs` (30 s) rejects and goes on in the guest: those that follow wait for its end.
   */
  run(command: string, { timeoutMs = 30_000 }: RunOptions = {}): Promise<CommandResult> {
    const result = this.#turn.then(() => this.#exchange(command, timeoutMs))
    this.#turn = result.catch(() => {})
    return result
  }

  /** As `run`, for a command that must succeed: its output. */
  async sh(command: string, options?: RunOptions): Promise<string> {
    const { status, stdout } = await this.run(command, options)
    if (status !== 0) throw new Error(`guest ${this.name}: ${command}: status ${status}\n${stdout}`)
    return stdout
  }

  /** Stops QEMU itself, vCPU and NIC alike: to the switch, a VM that no longer reads. */
  stop(): void {
    this.#qemu.kill('SIGSTOP')
  }

  cont(): void {
    this.#qemu.kill('SIGCONT')
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#qemu.kill(signal)
  }

  async close(): Promise<void> {
    await this.#qemu.close()
  }

  async #exchange(command: string, timeoutMs: number): Promise<CommandResult> {
    const nonce = randomBytes(8).toString('hex')
    const escaped = command.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
    if (escaped.length > LONGEST_COMMAND) throw new Error(`a command of ${escaped.length} bytes is too long`)
    const from = this.#qemu.lines.length
    this.#qemu.stdin!.write(`${nonce} ${escaped}\n`)
    const isEnd = (line: string) => line.startsWith(`${nonce} = `)
    const end = await this.#qemu.waitForLine(isEnd, { timeoutMs, from }).catch((error: Error) => {
      error.message = `guest ${this.name}: ${command}: ${error.message}`
      throw error
    })
    const prefix = `${nonce} - `
    const output = this.#qemu.lines.slice(from).find(line => line.text.startsWith(prefix))
    const base64 = output?.text.slice(prefix.length) ?? ''
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
      throw new Error(`guest ${this.name}: damaged output: ${base64}`)
    return { status: Number(end.split(' = ')[1]), stdout: Buffer.from(base64, 'base64').toString() }
  }
}

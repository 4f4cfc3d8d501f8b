// `talosctl qemu-launch`, the process that stays with one node: it starts the node's QEMU, starts it again whenever the
// guest reboots (-no-reboot ends QEMU then), and kills it when it is told to end. Over HTTP it hands out the machine
// config and switches the node off and on.

import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { ipamRecord, isSecondGeneration, stateFile, type ClusterPlan, type NodePlan } from './cluster.js'
import { nodeArguments } from './command-line.js'
import { qemuExecutable } from './process.js'

export type LaunchConfig = { cluster: ClusterPlan; node: NodePlan }

/** How often v1.14 starts a QEMU that ends with an error within 5 s; the pauses are 0.5, 1, 2 and 4 s. */
const START_ATTEMPTS = 5
const START_BACKOFF = 500
const START_GRACE = 5000

class QemuStartFailed extends Error {}

class Launcher {
  readonly #config: LaunchConfig
  #qemu: ChildProcess | undefined
  #poweredOn = true
  /** Killed by us, so its end is no error. */
  #isStopped = false
  #isTold = false
  #wake = () => {}

  constructor(config: LaunchConfig) {
    this.#config = config
    process.on('SIGTERM', () => this.#end())
    process.on('SIGINT', () => this.#end())
    process.on('SIGHUP', () => {})
  }

  async run(): Promise<void> {
    const { cluster, node } = this.#config
    await this.#serve()
    // One write, for the launchers of other nodes append to the file too.
    appendFileSync(stateFile(cluster, 'ipam.db'), ipamRecord(cluster, node))
    for (;;) {
      while (!this.#poweredOn) await new Promise<void>(resolve => (this.#wake = resolve))
      await this.#launch()
    }
  }

  async #launch(): Promise<void> {
    const { cluster } = this.#config
    const attempts = isSecondGeneration(cluster.version) ? START_ATTEMPTS : 1
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#runQemu()
      } catch (error) {
        if (!(error instanceof QemuStartFailed) || attempt >= attempts) throw error
        const backoff = START_BACKOFF * 2 ** (attempt - 1)
        say(`${error.message}, retrying in ${backoff} ms (attempt ${attempt + 1} of ${attempts})`)
        await pause(backoff)
      }
    }
  }

  async #runQemu(): Promise<void> {
    const { cluster, node } = this.#config
    const [executable, args] = [qemuExecutable(), nodeArguments(cluster, node)]
    say(`starting ${executable} with args:\n${args.join(' ')}`)
    const startedAt = performance.now()
    this.#isStopped = false
    const qemu = spawn(executable, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    this.#qemu = qemu
    const end = await new Promise<string | undefined>(resolve => {
      qemu.once('error', error => resolve(error.message))
      qemu.once('exit', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit status ${code}`)))
    })
    this.#qemu = undefined
    if (this.#isTold) process.exit(1)
    if (end === undefined || this.#isStopped) return
    if (performance.now() - startedAt < START_GRACE) throw new QemuStartFailed(`QEMU failed to start: ${end}`)
    throw new Error(`process exited with error ${end}`)
  }

  #end(): void {
    say('exiting VM as a signal was received')
    this.#isTold = true
    if (this.#qemu === undefined) process.exit(1)
    this.#qemu.kill('SIGKILL')
  }

  #kill(): void {
    this.#isStopped = true
    this.#qemu?.kill('SIGKILL')
  }

  #powerOn(): void {
    this.#poweredOn = true
    this.#wake()
  }

  /** @param grace ms that the guest has to shut down by itself */
  async #powerOff(grace: number): Promise<void> {
    this.#poweredOn = false
    const qemu = this.#qemu
    if (qemu === undefined) return
    if (grace > 0) {
      const ended = new Promise(resolve => qemu.once('exit', resolve))
      await this.#sayToMonitor('system_powerdown')
      await Promise.race([ended, pause(grace, undefined, { ref: false })])
    }
    if (this.#qemu === qemu) this.#kill()
  }

  #sayToMonitor(command: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const monitor = connect(stateFile(this.#config.cluster, `${this.#config.node.name}.monitor`))
      monitor.on('error', reject)
      monitor.on('data', () => {})
      monitor.end(`${command}\n`, resolve)
    })
  }

  async #serve(): Promise<void> {
    const { cluster, node } = this.#config
    const config = `machine:\n  network:\n    hostname: ${node.name}\n`
    const server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url!, 'http://launcher')
      const done = () => response.end()
      if (pathname === '/config.yaml') return response.end(config)
      if (pathname === '/status') return response.end(JSON.stringify({ PoweredOn: this.#poweredOn }))
      if (pathname === '/poweron') this.#powerOn()
      if (pathname === '/reboot') {
        if (this.#poweredOn) this.#kill()
        else this.#powerOn()
      }
      if (pathname === '/poweroff') {
        const grace = Number(searchParams.get('grace-period') ?? 0)
        return this.#powerOff(grace).then(done, (error: Error) => {
          response.statusCode = 500
          response.end(error.message)
        })
      }
      return done()
    })
    await new Promise<void>(resolve => server.listen(0, '0.0.0.0', resolve))
    // talosctl picks the port beforehand; here no two clusters can pick the same.
    writeFileSync(stateFile(cluster, `${node.name}.port`), String((server.address() as AddressInfo).port))
  }
}

/** stderr is the node's log. */
const say = (text: string) => process.stderr.write(`${text}\n`)

/** Runs until it is told to end, or until QEMU ends with an error; the configuration comes on stdin. */
export async function qemuLaunch(): Promise<void> {
  const config = JSON.parse(readFileSync(0, 'utf8')) as LaunchConfig
  await new Launcher(config).run()
}

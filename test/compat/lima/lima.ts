// Lima's part in starting and stopping a network, as Lima 2 does it (pkg/networks/reconcile of Lima), run as the user
// of Lima. It has the commands in words of its own, from the contract, and shares nothing with the code that it tests.
//
//   lima.js start NAME [ATTEMPTS]   sudo mkdir, sudo socket_vmnet, and the pidfile looked at every 500 ms for 30 s
//   lima.js stop NAME               sudo pkill -F, and up to 5 s until the pidfile names nobody
//   lima.js arp NAME IP             as a VM: connects, asks for the MAC of the address, and waits for the answer
//
// Prints one JSON object: what became of it, and after how many ms.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BROADCAST, Deframer, framed } from '../../daemon/station.js'

const VAR_RUN = '/private/var/run/lima'
const PROGRAM = '/opt/socket_vmnet/bin/socket_vmnet'
const SUBNETS: Record<string, string> = { shared: '192.168.105', host: '192.168.106' }

const pidfileOf = (name: string) => `${VAR_RUN}/${name}_socket_vmnet.pid`
const socketOf = (name: string) => `${VAR_RUN}/socket_vmnet.${name}`

function startCommand(name: string): string {
  const subnet = SUBNETS[name]
  const mode =
    name === 'bridged'
      ? '--vmnet-interface=en0'
      : `--vmnet-gateway=${subnet}.1 --vmnet-dhcp-end=${subnet}.254 --vmnet-mask=255.255.255.0`
  return `${PROGRAM} --pidfile=${pidfileOf(name)} --socket-group=admin --vmnet-mode=${name} ${mode} ${socketOf(name)}`
}

const AS_ROOT = ['--user', 'root', '--group', 'wheel', '--non-interactive']

function sudo(command: string): void {
  const { status, stderr } = spawnSync('sudo', [...AS_ROOT, ...command.split(' ')], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`sudo ${command}: status ${status}: ${stderr}`)
}

/** The living process of a pidfile, or 0; throws for a pidfile that is no number, as Lima's does. */
function readPid(name: string): number {
  let text: string
  try {
    text = readFileSync(pidfileOf(name), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
  if (!/^\d+$/.test(text.trim())) throw new Error(`${pidfileOf(name)} holds ${JSON.stringify(text)}`)
  try {
    process.kill(Number(text), 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') {
      // Lima may not, as a rule.
      try {
        rmSync(pidfileOf(name))
      } catch {
        // and goes on
      }
      return 0
    }
  }
  return Number(text)
}

function makeVarRun(): void {
  sudo(`/bin/mkdir -m 775 -p ${VAR_RUN}`)
  const { gid, mode } = statSync(VAR_RUN)
  const daemon = Number(spawnSync('id', ['-g', 'daemon'], { encoding: 'utf8' }).stdout)
  if ((mode & 0o20) === 0 || gid !== daemon) throw new Error(`${VAR_RUN} is not writable by the group daemon`)
}

function startDaemon(name: string): ChildProcess {
  makeVarRun()
  const folder = join(homedir(), '.lima/_networks')
  mkdirSync(folder, { recursive: true })
  const [stdout, stderr] = ['stdout', 'stderr'].map(stream => {
    const path = join(folder, `${name}_socket_vmnet.${stream}.log`)
    rmSync(path, { recursive: true, force: true })
    return openSync(path, 'w')
  })
  return spawn('sudo', [...AS_ROOT, ...startCommand(name).split(' ')], {
    cwd: VAR_RUN,
    // sudo's clean environment is what keeps these away.
    env: { ...process.env, NODE_OPTIONS: '--evil', VMBRIDGE_PREBUILD: '/tmp/evil' },
    stdio: ['ignore', stdout, stderr],
  })
}

/** 'exited' is what Lima tries again after. */
async function waitForDaemon(child: ChildProcess, name: string): Promise<'ready' | 'exited' | 'stuck'> {
  const deadline = performance.now() + 30_000
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  for (;;) {
    if (readPid(name) !== 0) return 'ready'
    if (child.exitCode !== null || child.signalCode !== null) return 'exited'
    if (performance.now() > deadline) {
      child.kill('SIGKILL')
      return 'stuck'
    }
    await Promise.race([sleep(500), exited])
  }
}

async function start(name: string, most: number): Promise<object> {
  const running = readPid(name)
  if (running !== 0) return { became: 'running before', pid: running }
  for (let attempt = 1; ; attempt++) {
    const child = startDaemon(name)
    const became = await waitForDaemon(child, name)
    child.unref()
    if (became === 'ready') return { became, pid: readPid(name), attempt }
    if (became === 'stuck' || attempt === most) return { became, attempt, status: child.exitCode }
    await sleep(1000 * 2 ** (attempt - 1))
  }
}

async function stop(name: string): Promise<object> {
  const pid = readPid(name)
  if (pid !== 0) sudo(`/usr/bin/pkill -F ${pidfileOf(name)}`)
  const deadline = performance.now() + 5000
  while (readPid(name) !== 0) {
    if (performance.now() > deadline) return { became: 'still running', pid }
    await sleep(500)
  }
  return { became: 'stopped', pid }
}

const MAC = '525400123456'

function arp(name: string, ip: string): Promise<object> {
  const address = Buffer.from(ip.split('.').map(Number))
  const own = Buffer.from([...address.subarray(0, 3), 99])
  const mac = Buffer.from(MAC, 'hex')
  const head = Buffer.concat([Buffer.from(BROADCAST.replaceAll(':', ''), 'hex'), mac, Buffer.from([8, 6])])
  const body = Buffer.from([0, 1, 8, 0, 6, 4, 0, 1])
  const request = Buffer.concat([head, body, mac, own, Buffer.alloc(6), address])
  return new Promise((resolve, reject) => {
    const deframer = new Deframer()
    const socket = connect(socketOf(name))
    const ask = () => socket.write(framed(request))
    // The far side may be coming up still; and each frame is one that may be lost.
    const asking = setInterval(ask, 500)
    const end = (result: object) => {
      clearInterval(asking)
      clearTimeout(late)
      socket.destroy()
      resolve(result)
    }
    const late = setTimeout(end, 20_000, { became: 'no answer' })
    socket.once('connect', ask)
    socket.once('error', error => {
      clearInterval(asking)
      clearTimeout(late)
      reject(error)
    })
    socket.on('data', chunk => {
      const answer = deframer
        .push(chunk)
        .find(
          frame =>
            frame.readUInt16BE(12) === 0x0806 && frame[21] === 2 && frame.subarray(28, 32).equals(address),
        )
      if (answer !== undefined) end({ became: 'answered' })
    })
  })
}

const [verb, name, word] = process.argv.slice(2)
const begin = performance.now()
try {
  const result = await (verb === 'start'
    ? start(name, Number(word ?? 5))
    : verb === 'stop'
      ? stop(name)
      : arp(name, word))
  console.log(JSON.stringify({ ...result, ms: Math.round(performance.now() - begin) }))
  // sudo goes on, as a child of nobody.
  process.exit(0)
} catch (error) {
  console.log(JSON.stringify({ became: 'error', message: (error as Error).message }))
  process.exit(1)
}

// What the daemon says, and to whom: the line that a person pastes from, JSON for programs, and that nobody who
// reads it badly (a closed stderr, a pipe that is never read) stops the switch or its end.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { qemuCommand } from '../../src/daemon/daemon.js'
import { scratch, socketsIn } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(90_000)

const A = '52:54:00:00:00:0a'

const argsFor = (folder: string, ...more: string[]) => {
  const places = [...socketsIn(folder), '--state-dir', join(folder, 'd')]
  return ['daemon', ...places, '--uplink', 'none', ...more]
}

t.test('the ready line holds the QEMU command, and says what is free for VIPs', async t => {
  const folder = scratch(t)
  const child = Child.launch([VMBRIDGE, ...argsFor(folder)])
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/-netdev/)
  const text = child.text(2)
  t.equal(child.text(1), '', 'stdout is left alone')
  t.match(text, new RegExp(`ready: PID ${child.pid}, network 192\\.168\\.105\\.1/24, uplink none`))
  const command = text.split('\n').find(line => line.includes('-netdev'))
  t.ok(
    command?.includes(` -netdev stream,id=net0,server=off,addr.type=unix,addr.path=${join(folder, 's')} `),
    'with the path',
  )
  t.match(
    command,
    /^ {2}qemu-system-\w+ .* -device virtio-net-pci,netdev=net0,mac=52:54:00(:[0-9a-f]{2}){3}$/,
  )
  t.match(
    text,
    /DHCP leases 192\.168\.105\.2-192\.168\.105\.199; 192\.168\.105\.200-192\.168\.105\.254 is free for VIPs/,
  )
})

t.test('the QEMU command is quoted for the shell and for QEMU', async t => {
  for (const path of ['/tmp/a b', "/tmp/it's", '/tmp/a,b', '/tmp/$HOME', '/tmp/ä']) {
    const printed = execFileSync('sh', ['-c', `printf '%s\\n' ${qemuCommand(path, 'arm64')}`], {
      encoding: 'utf8',
    })
    const words = printed.split('\n')
    const netdev = words[words.indexOf('-netdev') + 1]
    t.equal(netdev, `stream,id=net0,server=off,addr.type=unix,addr.path=${path.replaceAll(',', ',,')}`)
  }
  t.match(qemuCommand('/s', 'arm64'), /^qemu-system-aarch64 -M virt /)
  t.match(qemuCommand('/s', 'x64'), /^qemu-system-x86_64 -M q35 /)
  t.not(qemuCommand('/s'), qemuCommand('/s'), 'every VM gets a MAC of its own')
})

t.test('with --log-format json, every line is JSON with an event, a level and a time', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--log-level', 'trace'] })
  const station = await Station.plug(t, daemon)
  await station.close()
  await daemon.waitForLog(entry => entry.event === 'port.down')
  await daemon.stop()
  const lines = daemon.child.lines
  t.equal(daemon.log.length, lines.length, 'every line could be read')
  t.ok(lines.every(({ stream }) => stream === 2))
  for (const entry of daemon.log) {
    t.type(entry.event, 'string')
    t.type(entry['level'], 'number')
    t.match(entry['time'], /Z$/)
  }
  const events = daemon.log.map(({ event }) => event)
  for (const event of ['dhcp.ready', 'daemon.ready', 'port.up', 'port.down', 'daemon.stop'])
    t.ok(events.includes(event), event)
  const found = daemon.log.find(({ event }) => event === 'daemon.ready')
  t.match(found, { pid: daemon.pid, sockets: [daemon.socket], control: daemon.control, qemu: /addr\.path=/ })
})

/** Frames pass and VMs come and go, through a daemon that this test has no log of. */
async function switches(t: Test, socket: string): Promise<void> {
  const [a, b] = [await Station.connect(t, socket), await Station.connect(t, socket)]
  // Sent until it comes: the daemon cannot say when it has both ports.
  const again = setInterval(() => a.send(textFrame(BROADCAST, A, 'still there')), 20)
  await b.receive('still there').finally(() => clearInterval(again))
  await a.close()
  await b.close()
}

/** Ends the daemon by SIGTERM; status and ms, or undefined when it was still there after 3 s. */
async function end(child: ChildProcess): Promise<{ code: number | null; ms: number } | undefined> {
  const start = performance.now()
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 3000)
  const code = await new Promise<number | null>(resolve => child.once('exit', resolve))
  clearTimeout(late)
  return code === null ? undefined : { code, ms: performance.now() - start }
}

/** Waits for a socket, since there is no log to wait for. */
async function appears(path: string): Promise<void> {
  for (let i = 0; i < 500 && !existsSync(path); i++) await new Promise(resolve => setTimeout(resolve, 10))
}

const LOUD = ['--log-level', 'trace', '--log-format', 'json']

t.test('a closed stderr does not stop the switch', { skip: requires(['linux']) }, async t => {
  for (const [name, script] of [
    ['closed from the start', 'exec "$@" 2>&-'],
    ['all three closed from the start', 'exec "$@" <&- >&- 2>&-'],
    ['a full device', 'exec "$@" 2>/dev/full'],
  ]) {
    const folder = scratch(t)
    const child = spawn('sh', ['-c', script, 'sh', VMBRIDGE, ...argsFor(folder, ...LOUD)], {
      stdio: 'ignore',
    })
    t.teardown(() => child.kill('SIGKILL'))
    await appears(join(folder, 'c'))
    await switches(t, join(folder, 's'))
    t.match(await end(child), { code: 0 }, name)
    t.notOk(existsSync(join(folder, 's')))
  }
})

t.test('a reader of stderr who goes does not stop the switch', async t => {
  const folder = scratch(t)
  const child = spawn(VMBRIDGE, argsFor(folder, ...LOUD), { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise(resolve => child.stderr?.once('data', resolve))
  await appears(join(folder, 'c'))
  child.stderr?.destroy()
  for (let i = 0; i < 5; i++) await switches(t, join(folder, 's'))
  const ended = await end(child)
  t.match(ended, { code: 0 })
  t.ok((ended?.ms ?? Infinity) < 1000, `${ended?.ms} ms`)
})

t.test(
  'a reader of stderr who stalls stops neither the switch nor its end',
  { skip: requires(['linux']) },
  async t => {
    const folder = scratch(t)
    // A pipe of the shell that nobody reads, full before the daemon starts: its very first line waits.
    const script = '{ head -c 65536 /dev/zero >&2; echo full >&3; exec "$@"; } 2>&1 >/dev/null | sleep 60'
    const holder = spawn(
      'sh',
      ['-c', script, 'sh', VMBRIDGE, ...argsFor(folder, ...LOUD, '--pidfile', join(folder, 'p'))],
      {
        stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
        detached: true,
      },
    )
    t.teardown(() => {
      try {
        process.kill(-holder.pid!, 'SIGKILL')
      } catch {
        // they are gone
      }
    })
    await appears(join(folder, 'p'))
    const pid = Number(execFileSync('cat', [join(folder, 'p')], { encoding: 'utf8' }))
    for (let i = 0; i < 5; i++) await switches(t, join(folder, 's'))
    const start = performance.now()
    process.kill(pid, 'SIGTERM')
    while (existsSync(`/proc/${pid}/fd/0`) && performance.now() - start < 3000)
      await new Promise(resolve => setTimeout(resolve, 10))
    const ms = performance.now() - start
    t.ok(ms < 1000, `gone after ${Math.round(ms)} ms`)
    t.notOk(existsSync(join(folder, 's')), 'the socket is gone')
  },
)

// What a local user who may send datagrams to the switch can do besides being a VM: nothing of it crashes, stalls or
// spins, keeps descriptors, or has frames sent to a socket that is not his. The users are a Python's sockets.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { native } from '../../src/native.js'
import { lockFolder } from '../../src/ports/claim.js'
import { DgramListener } from '../../src/ports/dgram-listener.js'
import { Listener } from '../../src/ports/listener.js'
import { dgramPort, streamPort, type DgramPort } from '../../src/ports/run-port.js'
import { RX_FRAMES } from '../../src/switch/counters.js'
import { Port } from '../../src/switch/port.js'
import { Run } from '../../src/switch/run.js'
import { Switch } from '../../src/switch/switch.js'
import { Child } from '../helpers/child.js'
import { until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { scratch, type Scope } from './bench.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'python3'])
const skipRoot = requires(['linux', 'python3', 'root'])

/** Executes one statement a line, and says `ok` when it has. */
const PYTHON = `
import sys, os, socket, ctypes, array, time
def at(path=None, to=None):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.settimeout(20)
    if path: s.bind(path)
    if to: s.connect(to)
    return s
def frame(n): return (b'\\xff' * 6 + bytes([2, 0, 0, 0, 0, n]) + b'\\x88\\xb5').ljust(60, b'.')
def untie(s): ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16)
def nothing(s):
    s.setblocking(False)
    try: print('heard', s.recv(2000), flush=True)
    except BlockingIOError: pass
for line in sys.stdin:
    exec(line)
    print('ok', flush=True)
`

class User {
  readonly #child: Child
  #lines = 0

  constructor(t: Scope) {
    this.#child = Child.launch(['python3', '-u', '-c', PYTHON], { stdin: true })
    t.teardown(() => this.#child.close())
  }

  async does(...statements: readonly string[]): Promise<void> {
    for (const statement of statements) {
      this.#child.stdin!.write(`${statement}\n`)
      const said = await this.#child.waitForLine(() => true, { from: this.#lines++, timeoutMs: 60_000 })
      if (said !== 'ok') throw new Error(`${statement}: ${said}`)
    }
  }
}

const FRAME = Buffer.from('0000003c' + 'ffffffffffff' + '020000000063' + '88b5'.padEnd(96, '0'), 'hex')

function bench(t: Scope) {
  const folder = scratch(t)
  const run = Run.allocate()
  const sw = new Switch({ clock: performance, random32: () => 1 })
  const made: DgramPort[] = []
  const refused: string[] = []
  const shared: string[] = []
  const plug = (source: Parameters<typeof dgramPort>[0]) => {
    const port = new Port({ name: `vm${made.length + 1}`, role: 'vm', maxFrame: 32_768 })
    made.push(dgramPort(source, { switch: sw, run, port, onEnd: () => {} }))
    return made.at(-1)!
  }
  const path = join(folder, 'g')
  const listener = new DgramListener({
    path,
    mode: 0o666,
    run,
    onPeer: plug,
    onRefused: reason => refused.push(reason),
    onShared: reason => shared.push(reason),
  })
  listener.start(1514)
  t.teardown(() => {
    for (const { io } of made) io.close()
    listener.close()
  })
  /** Everybody's, and from nobody of them. */
  const broadcast = () => {
    for (const { port, io } of made) {
      if (port.id < 0) continue
      port.stretches[0] = 0
      port.stretches[1] = FRAME.length
      io.transmit(FRAME, 1, 1)
    }
  }
  return { folder, path, listener, made, refused, shared, plug, broadcast, user: new User(t) }
}

/** What each descriptor of this process is. */
const descriptors = () =>
  readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return [] // the one that this list was read by
    }
  })

t.test('a VM that greeted when the listener closes: nothing is left to be settled', { skip }, async t => {
  const { path, listener, made, user } = bench(t)
  await user.does(`a = at('${path}.a', '${path}')`, `a.send(b'VFKT')`)
  await until(() => made.length === 1)
  t.ok(made[0]!.io.isTied())
  listener.close()
  made[0]!.io.settle()
  t.ok(made[0]!.port.id >= 0, 'the port is its owner`s to close')
})

t.test('descriptors that come with the datagrams of a pair are let go', { skip }, async t => {
  const { folder, plug, made, user } = bench(t)
  const run = Run.allocate()
  const port = new Port({ name: 'stream', role: 'vm' })
  const streams = new Listener({
    path: join(folder, 's'),
    mode: 0o600,
    onRefused: () => {},
    onConnection: fd => {
      const stream = streamPort({
        switch: new Switch({ clock: performance, random32: () => 1 }),
        run,
        port,
        fd,
        onEnd: () => plug({ longest: 1514, fd: stream.io.passed()! }),
      })
      stream.io.offerDatagrams()
    },
  })
  streams.start()
  t.teardown(() => streams.close())
  await user.does(`s = socket.socket(socket.AF_UNIX); s.connect('${folder}/s')`, `s.sendall(b'DGRM')`)
  await until(() => made.length === 1)
  await user.does(`a = socket.socket(fileno=socket.recv_fds(s, 4, 1)[1][0])`)
  const before = descriptors().length
  await user.does(
    `n = os.open('/dev/null', 0)`,
    `[a.sendmsg([frame(1)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [n, n, n]))]) for i in range(5)]`,
  )
  await until(() => made[0]!.port.counters[RX_FRAMES] === 5)
  t.equal(descriptors().length, before)
})

t.test('who unties his socket and reads nothing costs no time', { skip }, async t => {
  const { path, made, broadcast, user } = bench(t)
  await user.does(`a = at('${path}.a', '${path}')`, `a.send(frame(1))`)
  await until(() => made.length === 1)
  t.ok(made[0]!.io.isTied())
  await user.does('untie(a)')
  for (let i = 0; i < 40; i++) broadcast()
  t.ok(made[0]!.io.queuedBytes() > 0, 'it takes ten')
  const before = process.cpuUsage()
  await pause(1000)
  const { user: us, system } = process.cpuUsage(before)
  // Who spins has what the machine gives, which is a third of a processor where others want it, too.
  t.ok(us + system < 150_000, `${us + system} us of a second`)
  await user.does('for i in range(30): a.recv(2000)')
  await until(() => made[0]!.io.queuedBytes() === 0)
  t.pass('and has its frames when it does read')
})

t.test('who holds the folder does not hold up the switch', { skip }, async t => {
  const { path, made, user } = bench(t)
  const unlock = lockFolder(path)
  t.teardown(unlock)
  const before = statSync(path).ino
  let longest = 0
  let last = performance.now()
  const beat = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 10)
  await user.does(`a = at('${path}.a', '${path}')`, `a.send(frame(1))`)
  await until(() => made.length === 1 && statSync(path).ino !== before)
  await pause(50)
  clearInterval(beat)
  t.ok(longest < 1900, `${longest} ms: not the two seconds of a start`)
})

t.test(
  'the number of a closed descriptor is nobody`s: a VM that comes back is not sent to by it',
  { skip },
  async t => {
    const { path, made, broadcast, user } = bench(t)
    await user.does(`a = at('${path}.a')`, `a.sendto(frame(1), '${path}')`)
    await until(() => made.length === 1)
    await user.does(`b = at('${path}.b', '${path}')`, `b.send(frame(2))`)
    await until(() => made.length === 2)
    // The first socket of the path closes with b, the last that was tied to it.
    await user.does(`b.close()`)
    broadcast()
    await until(() => made[1]!.port.id < 0)
    const fds = Array.from({ length: 8 }, (_, i) => native.bindDatagram(`${path}.other${i}`, 0o600, -1))
    t.teardown(() => fds.forEach(fd => closeSync(fd)))
    const others = fds.map(fd => readlinkSync(`/proc/self/fd/${fd}`))
    await user.does(`a.close()`, `os.unlink('${path}.a')`, `a = at('${path}.a', '${path}')`)
    broadcast()
    const held = descriptors()
    for (const other of others) t.equal(held.filter(name => name === other).length, 1, 'no second one of it')
  },
)

t.test('a symbolic link where a socket was is not followed, whatever the way', { skip }, async t => {
  const { folder, path, made, broadcast, user } = bench(t)
  mkdirSync(join(folder, 'secret'))
  mkdirSync(join(folder, 'own'))
  await user.does(
    `secret = at('${folder}/secret/x')`,
    `tied = at('${folder}/own/y', '${path}')`,
    `tied.send(frame(1))`,
    `os.unlink('${folder}/own/y')`,
    `os.symlink('${folder}/secret/x', '${folder}/own/y')`,
  )
  await until(() => made.length === 1)
  broadcast()
  await user.does('nothing(secret)', 'tied.recv(2000)')
})

t.test('no frame goes to a socket of another user`s, wherever a path leads', { skip: skipRoot }, async t => {
  const { folder, path, made, broadcast, user, refused } = bench(t)
  mkdirSync(join(folder, 'root'))
  await user.does(
    `root = at('${folder}/root/x')`,
    `os.chmod('${folder}', 0o777)`,
    `os.setresuid(65534, 65534, 65534)`,
    `os.mkdir('${folder}/own')`,
    `a = at('${folder}/own/x')`,
    `a.sendto(frame(1), '${path}')`,
  )
  await until(() => made.length === 1)
  await user.does(
    `os.rename('${folder}/own', '${folder}/was')`,
    `os.symlink('${folder}/root', '${folder}/own')`,
    `a.close()`,
  )
  broadcast()
  await until(() => made[0]!.port.id < 0)
  await user.does('nothing(root)')
  // The same from the beginning.
  await user.does(
    `os.mkdir('${folder}/two')`,
    `b = at('${folder}/two/x')`,
    `os.rename('${folder}/two', '${folder}/3')`,
    `os.symlink('${folder}/root', '${folder}/two')`,
    `b.sendto(frame(2), '${path}')`,
  )
  await until(() => refused.length === 1)
  t.match(refused, [/permission denied/i])
  t.equal(made.length, 1)
  broadcast()
  await user.does('nothing(root)')
})

t.test('strangers that are gone at once keep nobody out', { skip }, async t => {
  const { path, made, refused, user } = bench(t)
  await user.does(`v = at('${path}.v')`)
  // While this process, and with it the switch, waits.
  const strangers = `for i in range(4): s = at('${path}.%d' % i); s.sendto(frame(1), '${path}'); os.unlink(s.getsockname()); s.close()`
  execFileSync('python3', ['-c', PYTHON], { input: strangers })
  await user.does(`v.sendto(frame(2), '${path}')`)
  await pause(50)
  t.strictSame(refused, [])
  t.equal(made.length, 1)
})

t.test('what other threads write while a socket is made has its own mode', { skip }, async t => {
  const folder = scratch(t)
  let isDone = false
  const writing = (async () => {
    const modes = new Set<number>()
    for (let i = 0; i < 3000; i++) {
      await writeFile(join(folder, `f${i}`), '', { mode: 0o644 })
      modes.add(statSync(join(folder, `f${i}`)).mode & 0o777)
    }
    isDone = true
    return modes
  })()
  for (let i = 0; !isDone; i++) {
    for (let j = 0; j < 20; j++) closeSync(native.bindDatagram(join(folder, `s${i}.${j}`), 0o600, -1))
    t.equal(statSync(join(folder, `s${i}.0`)).mode & 0o777, 0o600)
    await new Promise(resolve => setImmediate(resolve))
  }
  t.strictSame([...(await writing)], [0o644 & ~process.umask()])
})

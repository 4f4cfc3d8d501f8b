// Ports wait in an epoll set of the addon's own, in place of Node's loop: while a port is always ready, Node must
// get its turns, and while Node is always busy, the ports must get theirs.

import { execFile } from 'node:child_process'
import { pbkdf2 } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, readFileSync, readSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { createServer as createTcpServer, connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { hasCode } from '../../src/errors.js'
import { native } from '../../src/native.js'
import { Child } from '../helpers/child.js'
import { frame, runOf, turn, until } from '../helpers/frames.js'
import { requires } from '../helpers/requires.js'
import { scratch, type Scope } from '../ports/bench.js'
import { Loop, startLoop } from './traffic.js'

const STAGES = fileURLToPath(new URL('./loop-stages.js', import.meta.url))

const timer = (ms = 0) => new Promise(resolve => setTimeout(resolve, ms))

/** What Node does besides, each as something that must come to its end. */
const CHORES: Record<string, (t: Scope) => Promise<unknown>> = {
  async 'timers fire, nested ones too'() {
    for (let ms = 0; ms < 20; ms++) await timer(ms % 4)
  },
  async 'an interval keeps firing'() {
    await new Promise<void>(resolve => {
      let times = 0
      const interval = setInterval(() => {
        if (++times < 10) return
        clearInterval(interval)
        resolve()
      }, 1)
    })
  },
  async 'immediates run'() {
    for (let i = 0; i < 200; i++) await turn()
  },
  async 'ticks and promises run'() {
    await new Promise<void>(resolve => process.nextTick(resolve))
    for (let i = 0; i < 100; i++) await Promise.resolve()
    await timer()
  },
  async 'files are read'() {
    for (let i = 0; i < 5; i++) await readFile(STAGES)
  },
  async 'the thread pool answers'() {
    await promisify(pbkdf2)('a', 'b', 1000, 16, 'sha256')
  },
  async 'a signal arrives'() {
    for (let i = 0; i < 10; i++) {
      const arrived = once(process, 'SIGUSR2')
      process.kill(process.pid, 'SIGUSR2')
      await arrived
    }
  },
  async 'a child process is reaped'() {
    await promisify(execFile)('true')
  },
  async 'a worker talks and ends'() {
    const worker = new Worker('require("worker_threads").parentPort.postMessage(1)', { eval: true })
    await Promise.all([once(worker, 'message'), once(worker, 'exit')])
  },
  async 'an HTTP server answers'(t) {
    const socketPath = join(scratch(t), 'http')
    const server = createServer((_, response) => response.end('here')).listen(socketPath)
    await once(server, 'listening')
    for (let i = 0; i < 10; i++) {
      await new Promise<void>((resolve, reject) => {
        request({ socketPath, agent: false }, response => response.resume().on('end', resolve))
          .on('error', reject)
          .end()
      })
    }
    server.close()
    await once(server, 'close')
  },
  async 'a socket of Node echoes'(t) {
    const path = join(scratch(t), 'echo')
    const server = createTcpServer(socket => socket.pipe(socket)).listen(path)
    await once(server, 'listening')
    const socket = connect(path)
    for (let i = 0; i < 20; i++) {
      socket.write('x')
      await once(socket, 'data')
    }
    socket.destroy()
    server.close()
    await once(server, 'close')
  },
}

for (const [what, chore] of Object.entries(CHORES)) {
  t.test(`while frames go round without end, ${what}`, async t => {
    const loop = await startLoop()
    t.teardown(() => loop.close())
    const before = loop.rounds
    await chore(t)
    await loop.goesRound()
    t.ok(loop.rounds > before)
    t.same(loop.ends, [])
  })
}

t.test('while frames go round, all of it at once', async t => {
  const loop = await startLoop()
  t.teardown(() => loop.close())
  await Promise.all(Object.values(CHORES).map(chore => chore(t)))
  await loop.goesRound()
})

t.test('eight loops of ports go round side by side: none starves the other', async t => {
  const loops = await Promise.all(Array.from({ length: 8 }, startLoop))
  t.teardown(() => loops.forEach(loop => loop.close()))
  for (const loop of loops) await loop.goesRound(200)
})

t.test('while Node is busy without end, frames go round', async t => {
  const loop = await startLoop()
  let busy = true
  const again = () => busy && setImmediate(again)
  for (let i = 0; i < 10; i++) again()
  const intervals = Array.from({ length: 100 }, () => setInterval(() => {}, 0))
  const read = async () => {
    while (busy) await readFile(STAGES)
  }
  const reading = read()
  t.teardown(() => {
    loop.close()
    busy = false
    intervals.forEach(clearInterval)
    return reading
  })
  await loop.goesRound(2000)
})

const OPENERS: Record<string, () => Promise<Loop>> = {
  'a timer': () => new Promise(resolve => setTimeout(() => resolve(new Loop()), 1)),
  'an immediate': () => new Promise(resolve => setImmediate(() => resolve(new Loop()))),
  'a tick': () => new Promise(resolve => process.nextTick(() => resolve(new Loop()))),
  'a promise': () => Promise.resolve().then(() => new Loop()),
  'a file that was read': () => readFile(STAGES).then(() => new Loop()),
  async 'a connection'() {
    const first = new Loop()
    try {
      return await new Promise<Loop>(resolve => {
        first.onConnection = () => {
          first.onConnection = () => {}
          resolve(new Loop())
        }
      })
    } finally {
      await first.start()
      first.close()
    }
  },
  async 'the end of a port'() {
    const first = await startLoop()
    const second = new Promise<Loop>(resolve => {
      first.onEnd = () => {
        first.onEnd = () => {}
        resolve(new Loop())
      }
    })
    first.cut()
    try {
      return await second
    } finally {
      first.close()
    }
  },
  async 'within a run'() {
    const first = await startLoop()
    try {
      return await new Promise<Loop>(resolve => {
        // Nothing that was made within a run waits for a tick: the turn of the loop comes for it.
        first.inRun(() => setImmediate(resolve, new Loop()))
      })
    } finally {
      first.close()
    }
  },
}

for (const [what, open] of Object.entries(OPENERS)) {
  t.test(`ports that are opened from ${what} are served`, async t => {
    const loop = await open()
    t.teardown(() => loop.close())
    await loop.start()
    await loop.goesRound()
    t.same(loop.ends, [])
  })
}

t.test('ports that are opened before the loop turns are served', async t => {
  const child = Child.launch([process.execPath, STAGES, 'early'])
  t.teardown(() => child.close())
  t.same(await child.exited, { code: 0, signal: null }, child.text())
  t.equal(child.text(), 'went round\n')
})

t.test('a timer that was set within a run fires, and so does an immediate', async t => {
  const loop = await startLoop()
  t.teardown(() => loop.close())
  await new Promise(resolve => loop.inRun(() => setTimeout(resolve, 2)))
  await new Promise(resolve => loop.inRun(() => setImmediate(resolve)))
})

/** A process that only waits for frames, two ports of it, and a frame that passes from one to the other. */
async function idle(t: Test) {
  const folder = scratch(t)
  const child = Child.launch([process.execPath, STAGES, 'idle', folder])
  t.teardown(() => child.close())
  await child.waitForLine(/^listening$/)
  const [a, b] = [native.dial(join(folder, 's'), true), native.dial(join(folder, 's'), true)]
  t.teardown(() => [a, b].forEach(fd => closeSync(fd)))
  await child.waitForLine(/^port 2$/)
  const hello = runOf(frame())
  const pass = async () => {
    writeSync(a, hello)
    t.same(await readAll(b, hello.length), hello)
  }
  return { child, pass }
}

t.test('signals that wake an idle process lose no frame', async t => {
  const { child, pass } = await idle(t)
  for (let n = 1; n <= 30; n++) {
    child.kill('SIGUSR2')
    await child.waitForLine(new RegExp(`^signal ${n}$`))
    await pass()
  }
  t.same(await child.close('SIGTERM'), { code: 0, signal: null })
})

t.test(
  'an idle process that was stopped and goes on, which Node itself does not notice, serves its ports',
  { skip: requires(['linux']) },
  async t => {
    const { child, pass } = await idle(t)
    const state = () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').replace(/.*\) (.).*/s, '$1')
    for (let n = 0; n < 10; n++) {
      await until(() => state() === 'S')
      child.kill('SIGSTOP')
      await until(() => state() === 'T')
      child.kill('SIGCONT')
      await until(() => state() === 'S')
      await pass()
    }
    t.same(await child.close('SIGTERM'), { code: 0, signal: null })
  },
)

async function readAll(fd: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length;) {
    try {
      at += readSync(fd, bytes, at, length - at, null)
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) throw error
      await turn()
    }
  }
  return bytes
}

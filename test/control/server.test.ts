// The control socket against whoever may connect to it: what it answers, what it refuses, and that nothing that is
// sent to it ends the daemon or holds up a frame.

import { statSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { ControlClient } from '../../src/control/client.js'
import { scratch } from '../cli/command.js'
import { BROADCAST, Station, textFrame } from '../daemon/station.js'
import { startDaemon, type Daemon } from '../helpers/daemon.js'

t.setTimeout(90_000)

const A = '52:54:00:00:00:0a'

type Answer = { status: number; type: string | undefined; body: string }

const ask = (daemon: Daemon, method: string, path: string): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request({ socketPath: daemon.control, method, path }, response => {
      let body = ''
      response.on('data', chunk => (body += chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'], body }),
      )
    })
    asked.on('error', reject)
    asked.end()
  })

/** Sends bytes as they are and resolves to what came until the daemon closed, or until 500 ms were quiet. */
const sendRaw = (daemon: Daemon, bytes: string | Buffer): Promise<string> =>
  new Promise(resolve => {
    let answer = ''
    const socket = connect(daemon.control, () => socket.write(bytes))
    const end = (): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(500, end)
    socket.on('data', chunk => (answer += chunk.toString('latin1')))
    socket.on('close', end)
    socket.on('error', end)
  })

/** The daemon is the same, its control socket answers, and it switches. */
async function isUnharmed(t: Test, daemon: Daemon): Promise<void> {
  t.equal((await new ControlClient(daemon.control).status()).pid, daemon.pid)
  const a = await Station.plug(t, daemon)
  const b = await Station.plug(t, daemon)
  a.send(textFrame(BROADCAST, A, 'still there'))
  await b.receive('still there')
  await a.close()
  await b.close()
}

t.test('GET /v1/status answers JSON; other paths 404, other methods 405', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none'] })
  const good = await ask(daemon, 'GET', '/v1/status')
  t.match(good, { status: 200, type: 'application/json' })
  t.equal((JSON.parse(good.body) as { pid: number }).pid, daemon.pid)
  t.equal((await ask(daemon, 'GET', '/v1/status?a=b')).status, 200)
  for (const path of ['/', '/v1', '/v1/', '/v1/status/', '/v2/status', '/v1/../etc/passwd', '/%00']) {
    const { status, type, body } = await ask(daemon, 'GET', path)
    t.equal(status, 404, path)
    t.equal(type, 'application/json')
    t.match(JSON.parse(body), { error: { code: 'ERR_NOT_FOUND' } })
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const { status, body } = await ask(daemon, method, '/v1/status')
    t.equal(status, 405, method)
    t.match(JSON.parse(body), { error: { code: 'ERR_METHOD' } })
  }
  t.equal((await ask(daemon, 'HEAD', '/v1/status')).status, 405)
})

const HOST = 'Host: x\r\n\r\n'
const GARBAGE: [name: string, bytes: string | Buffer][] = [
  ['a path that is no URL', `GET // HTTP/1.1\r\n${HOST}`],
  ['a path that names a broken host', `GET //[ HTTP/1.1\r\n${HOST}`],
  ['a whole URL that is none', `GET http://[::1 HTTP/1.1\r\n${HOST}`],
  ['a URL with a port that is none', `GET http://a:99999/ HTTP/1.1\r\n${HOST}`],
  ['a star', `OPTIONS * HTTP/1.1\r\n${HOST}`],
  ['CONNECT', `CONNECT a:1 HTTP/1.1\r\n${HOST}`],
  ['an upgrade', `GET /v1/status HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${HOST}`],
  ['an expectation', `GET /v1/status HTTP/1.1\r\nExpect: the-unexpected\r\n${HOST}`],
  ['no HTTP', 'hello\r\n\r\n'],
  ['nothing', ''],
  ['zeros', Buffer.alloc(100_000)],
  ['a frame', Buffer.concat([Buffer.from([0, 0, 0, 60]), Buffer.alloc(60, 0xff)])],
  ['a header without end', `GET / HTTP/1.1\r\nA: ${'a'.repeat(100_000)}`],
  ['a thousand headers', `GET /v1/status HTTP/1.1\r\n${'A: b\r\n'.repeat(3000)}${HOST}`],
  [
    'a body without end',
    `POST /v1/status HTTP/1.1\r\nContent-Length: 1000000000\r\n${HOST}${'x'.repeat(100_000)}`,
  ],
  ['two lengths', `POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n${HOST}zz`],
  ['a hundred requests at once', `GET /v1/status HTTP/1.1\r\n${HOST}`.repeat(100)],
]

for (const [name, bytes] of GARBAGE) {
  t.test(`${name} at the control socket harms nobody`, async t => {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
    await sendRaw(daemon, bytes)
    await isUnharmed(t, daemon)
    t.strictSame(
      daemon.log.filter(entry => Number(entry['level']) >= 50),
      [],
    )
  })
}

t.test('connections without a request do not hold up frames or the end of the daemon', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const open: Socket[] = []
  t.teardown(() => open.forEach(socket => socket.destroy()))
  for (let i = 0; i < 200; i++) {
    const socket = connect(daemon.control)
    socket.on('error', () => {})
    open.push(socket)
    // A busy daemon's queue of connections may be full: that one is refused at once.
    await new Promise<void>(resolve => socket.once('connect', resolve).once('error', () => resolve()))
  }
  const a = await Station.plug(t, daemon)
  const b = await Station.plug(t, daemon)
  a.send(textFrame(BROADCAST, A, 'still there'))
  await b.receive('still there')
  const last = open.at(-1)!
  await Promise.all(
    open.splice(0).map(async socket => {
      socket.resume()
      socket.destroy()
      await new Promise(resolve => (socket.closed ? resolve(null) : socket.once('close', resolve)))
    }),
  )
  t.ok(last.destroyed)
  await isUnharmed(t, daemon)
  for (let i = 0; i < 64; i++) {
    const socket = connect(daemon.control)
    socket.on('error', () => {})
    open.push(socket)
  }
  const { status, ms } = await daemon.stop()
  t.equal(status, 0)
  t.ok(ms < 1000, `${ms} ms`)
})

t.test('a reader of the status that stalls holds up nobody', async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const socket = connect(daemon.control)
  t.teardown(() => socket.destroy())
  socket.pause()
  socket.write(`GET /v1/status HTTP/1.1\r\n${HOST}`.repeat(5000))
  await isUnharmed(t, daemon)
})

t.test('the control socket has the mode of the sockets', async t => {
  for (const [args, mode] of [
    [[], 0o660],
    [['--socket-mode', '0600'], 0o600],
    [['--socket-mode', '666'], 0o666],
  ] as const) {
    const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp', ...args] })
    t.equal(statSync(daemon.control).mode & 0o7777, mode)
    t.equal(statSync(daemon.socket).mode & 0o7777, mode)
  }
})

t.test('ControlClient names the path of a daemon that is not there', async t => {
  const path = `${scratch(t)}/c`
  await t.rejects(new ControlClient(path).status(), { code: 'ERR_NO_DAEMON', message: new RegExp(path) })
})

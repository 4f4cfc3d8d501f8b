// Leases and reservations over the control socket: what is answered, what is refused and how that is said, and that
// nothing that is sent throws, blocks or leaks.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { MAX_BODY } from '../../src/control/body.js'
import { BridgeError } from '../../src/errors.js'
import { requires } from '../helpers/requires.js'
import { ask, DB, GONE, sendRaw, serveDhcp, WEB, type Served } from './dhcp-side.js'

t.setTimeout(90_000)

/** Resolves when it is closed, by whomever and however rudely. */
const closed = (socket: Socket): Promise<unknown> => {
  socket.on('error', () => {})
  socket.resume()
  return new Promise(resolve => (socket.closed ? resolve(null) : socket.once('close', resolve)))
}

const RESERVED = { ip: '192.168.105.20', mac: '52:54:00:00:00:20' }

/** An error as it is answered: the status, the code, and what it says. */
async function isRefused(
  t: Test,
  { path }: Served,
  [method, url, body]: [string, string, string?],
  [status, code, says]: [number, string, RegExp?],
): Promise<void> {
  const answer = await ask(path, method, url, body)
  const name = `${method} ${url.slice(0, 60)} ${(body ?? '').slice(0, 60)}`
  t.equal(answer.status, status, name)
  t.equal(answer.type, 'application/json', name)
  const { error } = JSON.parse(answer.body) as { error: { code: string; message: string; hint?: string } }
  t.equal(error.code, code, name)
  if (says !== undefined) t.match(error.message, says)
  if (status !== 404 && status !== 405) t.type(error.hint, 'string', `${name} has a hint`)
}

t.test('leases are listed with the port behind which the client is', async t => {
  const { client, path } = await serveDhcp(t)
  t.same(await client.leases(), { network: 'default', leases: [{ ...WEB, port: 'vm1' }, DB, GONE] })
  t.equal((await ask(path, 'GET', '/v1/leases?other=1')).status, 200)
})

t.test('a lease is released by IP or by MAC, and the log says who did it', async t => {
  const { client, log } = await serveDhcp(t)
  t.match(await client.release('192.168.105.7'), { network: 'default', released: [{ ip: WEB.ip }] })
  t.match(await client.release('52-54-0-0-0-8'), { released: [{ ip: DB.ip, mac: DB.mac }] })
  t.match(
    log.lines.map(({ fields }) => fields),
    [
      {
        event: 'control.change',
        change: 'lease.release',
        network: 'default',
        pid: process.pid,
        uid: process.getuid!(),
        ip: WEB.ip,
        mac: WEB.mac,
      },
      { event: 'control.change', ip: DB.ip },
    ],
  )
  t.match(log.lines[0]!.message, `PID ${process.pid} of user ${process.getuid!()} released 192.168.105.7`)
})

t.test('what is not leased cannot be released', async t => {
  const served = await serveDhcp(t)
  const none = (says: RegExp): [number, string, RegExp] => [404, 'ERR_NO_LEASE', says]
  await isRefused(t, served, ['DELETE', '/v1/leases/192.168.105.77'], none(/105\.77 is leased to nobody$/))
  await isRefused(t, served, ['DELETE', `/v1/leases/${GONE.ip}`], none(/nobody; it is expired/))
  await isRefused(t, served, ['DELETE', `/v1/leases/${GONE.mac}`], none(/:09 has no lease/))
  for (const which of [
    'web',
    '192.168.105',
    '192.168.105.7%00',
    '%2e%2e',
    '7',
    '192.168.105.7%2F',
    '%E0%A4%A0',
  ])
    await isRefused(t, served, ['DELETE', `/v1/leases/${which}`], [400, 'ERR_WHICH', /neither/])
  t.same(served.log.lines, [], 'nothing changed')
})

t.test('a disk that fails is said, with its own code', async t => {
  const served = await serveDhcp(t)
  served.leases.fails = new BridgeError('ERR_LEASE_STORE', 'cannot write the leases', { hint: 'make room' })
  await isRefused(t, served, ['DELETE', '/v1/leases/192.168.105.7'], [500, 'ERR_LEASE_STORE', /cannot write/])
  mkdirSync(join(served.folder, 'reservations.json.tmp', 'x'), { recursive: true })
  const add: [string, string, string] = ['POST', '/v1/reservations', JSON.stringify(RESERVED)]
  await isRefused(t, served, add, [500, 'ERR_RESERVATION_STORE'])
  t.same((await served.client.reservations()).reservations, [])
  t.same(served.log.lines, [])
})

t.test('a fault of ours is answered, and logged with the question', async t => {
  const served = await serveDhcp(t)
  served.leases.fails = new TypeError('x is not a function')
  const answer = await ask(served.path, 'DELETE', '/v1/leases/192.168.105.7')
  t.match(answer, { status: 500, body: /"ERR_INTERNAL"/ })
  t.match(served.log.lines, [{ fields: { event: 'control.error', method: 'DELETE', err: TypeError } }])
})

t.test('reservations are added, listed and removed by whatever names them', async t => {
  const served = await serveDhcp(t)
  const { client, log } = served
  const records = [
    { ip: '192.168.105.20', mac: '52:54:00:00:00:20', hostname: 'told' },
    { ip: '192.168.105.21', clientId: '01525400000021' },
    { ip: '192.168.105.22', name: 'Db' },
  ]
  for (const record of records) {
    t.same(await client.reserve(record), { network: 'default', reservation: record })
    t.same(await client.reserve(record), { network: 'default', reservation: record }, 'twice is once')
  }
  t.same(await client.reservations(), { network: 'default', reservations: records })
  t.equal((await ask(served.path, 'POST', '/v1/reservations', JSON.stringify(records[0]))).status, 201)
  t.match(log.lines[0], {
    fields: { event: 'control.change', change: 'reservation.add', pid: process.pid, ...records[0] },
    message: /reserved 192\.168\.105\.20 for 52:54:00:00:00:20$/,
  })
  const ways = ['192.168.105.20', '01:52:54:00:00:00:21', 'DB.lab']
  for (const [i, which] of ways.entries()) {
    t.same(await client.unreserve(which), { network: 'default', removed: records[i] }, which)
    await t.rejects(client.unreserve(which), {
      code: 'ERR_NO_RESERVATION',
      hint: 'vmbridge reservations list',
    })
  }
  await client.reserve(records[0]!)
  t.match(await client.unreserve('52:54:0:0:0:20'), { removed: { ip: '192.168.105.20' } })
  t.match(log.lines.at(-1), { fields: { change: 'reservation.remove', ip: '192.168.105.20' } })
  await t.rejects(client.unreserve('52:54:00:00:00:20'), { code: 'ERR_NO_RESERVATION', message: /00:20/ })
})

t.test('changes that come all at once are made one after the other, and all answered', async t => {
  const { path, client } = await serveDhcp(t)
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, n) => {
      const mac = `52:54:00:00:01:${n.toString(16).padStart(2, '0')}`
      return ask(path, 'POST', '/v1/reservations', JSON.stringify({ ip: `192.168.105.${n + 100}`, mac }))
    }),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([201]))
  t.equal((await client.reservations()).reservations.length, 100)
})

t.test('what names two reservations removes neither', async t => {
  const { client } = await serveDhcp(t)
  await client.reserve({ ip: '192.168.105.20', name: 'beef' })
  await client.reserve({ ip: '192.168.105.21', clientId: 'beef' })
  await t.rejects(client.unreserve('beef'), { code: 'ERR_AMBIGUOUS', message: /105\.20, 192\.168\.105\.21/ })
  t.equal((await client.reservations()).reservations.length, 2)
})

t.test('reserving an address that another client has is taken with a note', async t => {
  const { client } = await serveDhcp(t)
  const other = await client.reserve({ ip: WEB.ip, mac: DB.mac })
  t.match(other.note, `192.168.105.7 is leased to ${WEB.mac} until ${WEB.expires}`)
  await client.unreserve(WEB.ip)
  for (const own of [{ mac: WEB.mac }, { name: 'WEB' }]) {
    t.notOk('note' in (await client.reserve({ ip: WEB.ip, ...own })), 'its own')
    await client.unreserve(WEB.ip)
  }
  t.notOk('note' in (await client.reserve({ ip: DB.ip, clientId: DB.clientId! })))
  t.notOk('note' in (await client.reserve({ ip: GONE.ip, name: 'other' })), 'a lease that is over')
})

const withOptions = (options: unknown[]): string =>
  JSON.stringify({ ip: '192.168.105.9', name: 'a', options })

const BODIES: [body: string, status: number, code: string, says: RegExp][] = [
  ['', 400, 'ERR_BODY', /not JSON/],
  ['{', 400, 'ERR_BODY', /not JSON/],
  ['\u0000', 400, 'ERR_BODY', /not JSON/],
  ['null', 400, 'ERR_BODY', /not an object/],
  ['7', 400, 'ERR_BODY', /not an object/],
  ['[]', 400, 'ERR_BODY', /not an object/],
  ['{}', 400, 'ERR_BODY', /has an ip/],
  ['{"ip":"192.168.105.9"}', 400, 'ERR_BODY', /exactly one of/],
  ['{"ip":"192.168.105.9","mac":"52:54:00:00:00:01","name":"a"}', 400, 'ERR_BODY', /exactly one of/],
  ['{"ip":7,"name":"a"}', 400, 'ERR_BODY', /ip is not a short text/],
  ['{"ip":{"a":1},"name":"a"}', 400, 'ERR_BODY', /ip is not/],
  ['{"ip":"192.168.105.9","name":null}', 400, 'ERR_BODY', /name is not/],
  [`{"ip":"192.168.105.9","name":"${'a'.repeat(600)}"}`, 400, 'ERR_BODY', /name is not/],
  ['{"ip":"192.168.105.9","name":"a","nonsense":"x"}', 400, 'ERR_BODY', /no field "nonsense"/],
  ['{"ip":"192.168.105.9","name":"a","__proto__":"x"}', 400, 'ERR_BODY', /no field "__proto__"/],
  ['{"ip":"192.168.105.9","name":"a","toString":"x"}', 400, 'ERR_BODY', /no field "toString"/],
  ['{"ip":"192.168.105.9","name":"a","options":"mtu=1400"}', 400, 'ERR_BODY', /options is not a list/],
  [withOptions(Array.from({ length: 33 }, (_, n) => `${200 + n}=01`)), 400, 'ERR_BODY', /list of 32/],
  [withOptions(['mtu=1400', 7]), 400, 'ERR_BODY', /one of the options is not a text/],
  [withOptions([`224=${'ad'.repeat(511)}`]), 400, 'ERR_BODY', /at most 1024 characters/],
  [withOptions(['mtu=1']), 400, 'ERR_RESERVATION_OPTIONS', /^option mtu=1: "1" is not a number/],
  [withOptions(['lease-time=1']), 400, 'ERR_RESERVATION_OPTIONS', /no option "lease-time"/],
  ['['.repeat(60_000), 400, 'ERR_BODY', /not JSON/],
  [`${'['.repeat(30_000)}${']'.repeat(30_000)}`, 400, 'ERR_BODY', /not an object/],
  [`{"ip":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 400, 'ERR_BODY', /ip is not/],
  [' '.repeat(MAX_BODY + 1), 413, 'ERR_TOO_LARGE', /65536 bytes/],
  [' '.repeat(4 * MAX_BODY), 413, 'ERR_TOO_LARGE', /65536 bytes/],
  ['{"ip":"nonsense","name":"a"}', 400, 'ERR_RESERVATION_ADDRESS', /"nonsense" is no IPv4/],
  ['{"ip":"10.0.0.1","name":"a"}', 400, 'ERR_RESERVATION_ADDRESS', /not in 192\.168\.105/],
  ['{"ip":"192.168.105.1","name":"a"}', 400, 'ERR_RESERVATION_ADDRESS', /gateway/],
  ['{"ip":"192.168.105.9","mac":"x"}', 400, 'ERR_RESERVATION_MATCH', /"x" is no MAC/],
  ['{"ip":"192.168.105.9","mac":"ff:ff:ff:ff:ff:ff"}', 400, 'ERR_RESERVATION_MATCH', /one station/],
  ['{"ip":"192.168.105.9","clientId":"xyz"}', 400, 'ERR_RESERVATION_MATCH', /"xyz" is no client ID/],
  ['{"ip":"192.168.105.9","clientId":""}', 400, 'ERR_RESERVATION_MATCH', /octets/],
  ['{"ip":"192.168.105.9","name":"\\u0007"}', 400, 'ERR_RESERVATION_MATCH', /no name/],
  ['{"ip":"192.168.105.9","name":"a","hostname":"b c"}', 400, 'ERR_RESERVATION_HOSTNAME', /"b c"/],
  ['{"ip":"192.168.105.30","name":"a"}', 409, 'ERR_RESERVATION_EXISTS', /reserved already/],
]

t.test('a body that is wrong is refused with what is wrong about it, and nothing is reserved', async t => {
  const served = await serveDhcp(t)
  await served.client.reserve({ ip: '192.168.105.30', name: 'first' })
  for (const [body, ...answer] of BODIES)
    await isRefused(t, served, ['POST', '/v1/reservations', body], answer)
  t.equal((await served.client.reservations()).reservations.length, 1)
})

t.test('a path that leads nowhere is refused, whatever it is made of', async t => {
  const served = await serveDhcp(t)
  const nowhere = ['/', '/v1', '/v1/', '/v1/leases/', '/v1/reservations/', '/v2/leases', '/v1/leases/a/b']
  const tricks = [
    '/v1%2Fleases',
    '/v1/./leases',
    '//v1/leases',
    '/v1/constructor',
    '/constructor',
    '/__proto__/x',
  ]
  for (const path of [...nowhere, ...tricks]) {
    for (const method of ['GET', 'DELETE', 'POST'])
      await isRefused(t, served, [method, path], [404, 'ERR_NOT_FOUND'])
  }
  for (const [method, path] of [
    ['DELETE', '/v1/leases'],
    ['POST', '/v1/leases'],
    ['GET', '/v1/leases/192.168.105.7'],
    ['PUT', '/v1/reservations'],
    ['GET', '/v1/reservations/192.168.105.7'],
    ['POST', '/v1/status'],
  ] as const)
    await isRefused(t, served, [method, path], [405, 'ERR_METHOD', /answers [A-Z, ]+ only/])
  for (const segment of ['%', '%zz', '%ff', '%c0%af', 'a%2'])
    await isRefused(t, served, ['DELETE', `/v1/leases/${segment}`], [400, 'ERR_PATH'])
  t.same(served.log.lines, [])
})

t.test('a network is named where there are several, and found by name', async t => {
  const served = await serveDhcp(t, {}, ['one', 'two words'])
  await isRefused(t, served, ['GET', '/v1/leases'], [400, 'ERR_WHICH_NETWORK', /one, two words/])
  await isRefused(t, served, ['GET', '/v1/leases?network=three'], [404, 'ERR_NO_NETWORK'])
  await isRefused(t, served, ['DELETE', '/v1/leases/192.168.105.7?network='], [404, 'ERR_NO_NETWORK'])
  t.match(await served.client.leases('two words'), { network: 'two words' })
  t.match(await served.client.release(WEB.ip, 'one'), { network: 'one' })
  t.equal((await ask(served.path, 'GET', '/v1/leases?network=%zz&network=one')).status, 404)
  Object.assign(served.networks[0]!, { dhcp: undefined })
  await isRefused(t, served, ['GET', '/v1/leases?network=one'], [409, 'ERR_NO_DHCP', /one has no DHCP/])
})

t.test('any bytes for a path and a body are answered or cut off, and change nothing', async t => {
  const served = await serveDhcp(t)
  const path = fc.oneof(
    fc.string({
      unit: fc.constantFrom('/', '%', '.', '?', '=', 'v1', 'leases', 'reservations', 'a', '2', '\u00e4'),
    }),
    fc.string(),
  )
  const method = fc.constantFrom('GET', 'POST', 'DELETE', 'HEAD', 'OPTIONS')
  await fc.assert(
    fc.asyncProperty(method, path, fc.string(), async (verb, url, body) => {
      const head = `${verb} ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
      const answer = await sendRaw(served.path, head + body)
      return /^HTTP\/1\.1 [1245]\d\d /.test(answer)
    }),
    { numRuns: 200 },
  )
  t.same((await served.client.reservations()).reservations, [])
  t.same(served.log.lines, [])
})

t.test(
  'of requests that are sent at once only the first is answered, and only it changes anything',
  async t => {
    const { path, client, reservations } = await serveDhcp(t)
    const post = (n: number): string => {
      const body = JSON.stringify({ ip: `192.168.105.${n}`, name: `n${n}` })
      return `POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    }
    const answer = await sendRaw(path, Array.from({ length: 100 }, (_, i) => post(i + 50)).join(''))
    t.equal(answer.match(/HTTP\/1\.1/g)?.length, 1)
    t.match(answer, /^HTTP\/1\.1 201 [^]*connection: close/i)
    // Behind all changes that are under way.
    await t.rejects(reservations.remove({ ip: 0 }))
    t.match((await client.reservations()).reservations, { length: 1, 0: { ip: '192.168.105.50' } })
  },
)

t.test('a body that drips in, or never ends, ends with the patience', async t => {
  const { path, client, log } = await serveDhcp(t)
  const heads = ['Content-Length: 1000', 'Transfer-Encoding: chunked', 'Content-Length: 1000000000000']
  const started = performance.now()
  await Promise.all(
    heads.map(async head => {
      const socket = connect(path)
      socket.write(`POST /v1/reservations HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`)
      const drip = setInterval(() => socket.write('1'), 50)
      await closed(socket)
      clearInterval(drip)
    }),
  )
  t.ok(performance.now() - started < 4000)
  t.same((await client.reservations()).reservations, [])
  t.same(log.lines, [])
})

t.test('a peer that leaves while its change is under way harms nobody, and the change is made', async t => {
  const { path, client, leases } = await serveDhcp(t)
  let isAsked = (): void => {}
  let letGo = (): void => {}
  const asked = new Promise<void>(resolve => (isAsked = resolve))
  const gate = new Promise<void>(resolve => (letGo = resolve))
  const release = leases.release.bind(leases)
  leases.release = match => {
    isAsked()
    return gate.then(() => release(match))
  }
  const socket = connect(path)
  socket.write('DELETE /v1/leases/192.168.105.8 HTTP/1.1\r\nHost: x\r\n\r\n')
  await asked
  socket.destroy()
  await closed(socket)
  await client.leases()
  letGo()
  await client.leases()
  t.match((await client.leases()).leases, { 1: { ip: DB.ip, state: 'expired' } })
})

t.test(
  'a peer that leaves in the middle of anything leaves nothing behind',
  { skip: requires(['linux']) },
  async t => {
    const { path, client } = await serveDhcp(t)
    const sockets = () =>
      readdirSync('/proc/self/fd').filter(fd => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
        } catch {
          return false
        }
      }).length
    await client.leases()
    const before = sockets()
    const pieces = [
      '',
      'POST',
      'POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n',
      'POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"ip"',
      'GET /v1/leases HTTP/1.1\r\nHost: x\r\n\r\n',
      'DELETE /v1/leases/192.168.105.8 HTTP/1.1\r\nHost: x\r\n\r\n',
    ]
    for (let round = 0; round < 200; round++) {
      const socket = connect(path)
      await once(socket, 'connect')
      socket.write(pieces[round % pieces.length]!, () => socket.destroy())
      await closed(socket)
    }
    await client.leases()
    for (let waited = 0; sockets() > before && waited < 40; waited++) {
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    t.ok(sockets() <= before, `${sockets()} sockets, ${before} before`)
  },
)

t.test('after the end nobody is answered, the file is gone, and no connection stays', async t => {
  const { path, folder, server } = await serveDhcp(t)
  const open = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = connect(path)
      await once(socket, 'connect')
      return socket
    }),
  )
  // Whoever came before this one has been accepted.
  await ask(path, 'GET', '/v1/status')
  const allClosed = Promise.all(open.map(closed))
  const started = performance.now()
  server.close()
  await allClosed
  t.ok(performance.now() - started < 1000, 'at once')
  t.notOk(readdirSync(folder).includes('c'))
  await t.rejects(ask(path, 'GET', '/v1/leases'), { code: 'ENOENT' })
})

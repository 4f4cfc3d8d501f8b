import t from 'tap'
import * as option from '../../src/dhcp/options.js'
import { Client, ip, MemoryStore, Segment } from './segment.js'

const A = ip('192.168.105.2')
const SERVER = ip('192.168.105.1')
const rebind = (address: number): object => ({ type: option.REQUEST, ciaddr: address, sourceIp: address })
const release = (address: number): object => ({
  type: option.RELEASE,
  ciaddr: address,
  options: [[option.SERVER_ID, SERVER]],
})

async function start(options: object = {}): Promise<{ segment: Segment; store: MemoryStore }> {
  const store = new MemoryStore()
  return { segment: await Segment.start({ ...options, store }), store }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

t.test('an ACK does not leave before its lease is saved', async t => {
  const { segment, store } = await start()
  store.hold()
  segment.tell(new Client(1), rebind(A))
  await turn()
  await turn()
  t.equal(store.saves, 1, 'the save is under way')
  t.same(segment.take(), [])
  t.same(await segmentOffers(segment, 2), [ip('192.168.105.3')], 'and nobody else gets the address meanwhile')
  store.release()
  await segment.server.flush()
  t.equal(segment.take()[0]?.type, option.ACK)
  t.match(store.saved, [{ ip: A }])
})

async function segmentOffers(segment: Segment, n: number): Promise<number[]> {
  segment.tell(new Client(n))
  return segment.take().map(({ message }) => message.yiaddr)
}

t.test('what comes in during one turn shares a save, what comes during a save the next', async t => {
  const { segment, store } = await start()
  store.hold()
  for (let n = 1; n <= 3; n++) segment.tell(new Client(n), rebind(A + n))
  await turn()
  for (let n = 4; n <= 6; n++) segment.tell(new Client(n), rebind(A + n))
  await turn()
  t.equal(store.saves, 1)
  store.release()
  await segment.server.flush()
  t.equal(store.saves, 2)
  t.equal(segment.take().length, 6)
  t.equal(store.saved.length, 6)
})

t.test('a client that asks again while it waits gets one answer, to the last', async t => {
  const { segment, store } = await start()
  const client = new Client(1)
  store.hold()
  for (let n = 0; n < 50; n++) segment.tell(client, rebind(A))
  store.release()
  await segment.server.flush()
  const replies = segment.take()
  t.equal(replies.length, 1)
  t.equal(replies[0]?.message.xid, client.xid)
})

t.test('one that releases while it waits gets no answer', async t => {
  const { segment, store } = await start()
  const client = new Client(1)
  store.hold()
  segment.tell(client, rebind(A))
  await turn()
  segment.tell(client, release(A))
  store.release()
  await segment.server.flush()
  t.same(segment.take(), [])
  t.match(segment.server.status().leases, [{ state: 'expired' }])
})

t.test('a disk that fails', async t => {
  const { segment, store } = await start({ range: { first: A, last: A + 1 } })
  const [known, fresh] = [new Client(1), new Client(2)]
  await segment.lease(known)
  store.fails = true

  segment.clock.advance(1800)
  const [ack] = await segment.ask(known, rebind(A))
  t.equal(ack?.type, option.ACK, 'a known lease is renewed from memory')
  t.equal(segment.server.status().degraded, true)

  t.same(await segment.ask(fresh, rebind(A + 1)), [], 'a new one is refused')
  t.equal(segment.server.status().counters.dropped['not-saved'], 1)
  t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'bound' }], 'and leaves no trace')
  t.equal(segment.server.status().leases.length, 1)

  segment.clock.advance(3000)
  t.equal(
    (await segment.ask(known, rebind(A)))[0]?.type,
    option.ACK,
    'renewed again, past what the disk knows',
  )
  segment.clock.advance(3600)
  t.same(await segment.ask(known, rebind(A)), [], 'once it is over it is new')
  t.match(segment.server.status().leases, [{ ip: '192.168.105.2', state: 'expired' }])

  const stores = segment.log.lines.filter(({ fields }) => fields.event === 'dhcp.store')
  t.match(stores, [{ level: 'error', message: /no new leases until the disk is back: no space left/ }])
  t.equal(stores.length, 1, 'logged once')

  store.fails = false
  t.equal((await segment.ask(fresh, rebind(A + 1)))[0]?.type, option.ACK)
  t.equal(segment.server.status().degraded, false)
  t.equal(segment.log.lines.filter(({ fields }) => fields.event === 'dhcp.store').length, 2)
})

t.test('a new lease asked for twice is still new', async t => {
  const { segment, store } = await start()
  const client = new Client(1)
  store.fails = true
  store.hold()
  segment.tell(client, rebind(A))
  await turn()
  segment.tell(client, rebind(A))
  store.release()
  await segment.server.flush()
  t.same(segment.take(), [])
  segment.tell(client, rebind(A))
  segment.tell(client, rebind(A))
  await segment.server.flush()
  t.same(segment.take(), [], 'nor is it known when it asks twice at once')
  t.same(segment.server.status().leases, [])
})

t.test('what an unsaved lease displaced is put back', async t => {
  const { segment, store } = await start({ range: { first: A, last: A + 1 } })
  const [one, two, three] = [new Client(1), new Client(2), new Client(3)]
  await segment.lease(one)
  await segment.lease(two)
  segment.clock.advance(3601)
  const before = segment.server.status().leases
  store.fails = true
  const [offer] = await segment.ask(three)
  t.equal(offer?.message.yiaddr, A)
  t.same(await segment.ask(three, rebind(A)), [])
  t.same(segment.server.status().leases, before)
  store.fails = false
  t.equal((await segment.ask(one))[0]?.message.yiaddr, A)
})

t.test('hostile clients and a disk that hangs: what waits is bounded by the pool', async t => {
  const { segment, store } = await start()
  store.hold()
  for (let n = 0; n < 500; n++) {
    const client = new Client(n)
    segment.tell(client, rebind(A + (n % 10)))
    segment.tell(client, release(A + (n % 10)))
  }
  for (let n = 0; n < 10; n++) segment.tell(new Client(1000 + n), rebind(A + n))
  store.release()
  await segment.server.flush()
  const acks = segment.take().filter(({ type }) => type === option.ACK)
  t.equal(acks.length, 10)
  t.equal(segment.server.status().counters.dropped['not-saved'], 0, 'the displaced ones wait no more')
})

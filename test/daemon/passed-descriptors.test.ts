// Who asks for datagrams on the stream socket is given one end of a pair, and whatever he passes along is let go: no
// descriptor of his stays with the daemon, or is sent to.

import { readdirSync } from 'node:fs'
import t from 'tap'
import { startDaemon } from '../helpers/daemon.js'
import { DatagramProcess, type Passed } from '../helpers/datagrams.js'
import { requires } from '../helpers/requires.js'
import { BROADCAST, framed, Station, textFrame } from './station.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'python3'])
const WORD = Buffer.from('DGRM')
const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

t.test('passed descriptors', { skip }, async t => {
  const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
  const listening = await Station.plug(t, daemon)
  const vms = new DatagramProcess(t)
  const descriptors = () => readdirSync(`/proc/${daemon.pid}/fd`).length
  const before = descriptors()
  let texts = 0

  /** Has everybody get a frame: who is gone is found out, and what was let go is let go. */
  const settle = async () => {
    const other = await Station.plug(t, daemon)
    const text = `settled ${texts++}`
    other.send(textFrame(BROADCAST, B, text))
    await listening.receive(text)
    await other.close()
    const deadline = performance.now() + 20_000
    while (descriptors() > before && performance.now() < deadline) await daemon.status()
    return descriptors()
  }

  await t.test('a pair with the word: the answer, the end of the stream, and frames by the pair', async t => {
    const vm = await vms.give(daemon.socket, [], [WORD])
    t.same(await vm.hear(100), { bytes: WORD, ended: true })
    const question = textFrame(BROADCAST, A, 'by the pair')
    await vm.send([question])
    t.strictSame(await listening.receive('by the pair'), question)
    const answer = textFrame(A, B, 'to the pair')
    listening.send(answer)
    t.strictSame(await vm.receive(1), [answer])
    await vm.close()
    await vm.hangUp()
    t.equal(await settle(), before, 'nothing is left')
  })

  for (const [what, kinds] of [
    ['a stream socket', ['stream']],
    ['a UDP socket', ['udp']],
    ['a file', ['file']],
    ['a device', ['device']],
    ['a datagram socket and a stream', ['lonely', 'stream']],
  ] as const satisfies readonly (readonly [string, readonly Passed[]])[]) {
    await t.test(`the word with ${what}: that is let go, and the pair is the daemon's own`, async t => {
      const vm = await vms.give(daemon.socket, kinds, [WORD])
      t.same(await vm.hear(100), { bytes: WORD, ended: true })
      const text = `with ${what}`
      await vm.send([textFrame(BROADCAST, A, text)])
      await listening.receive(text)
      await vm.close()
      await vm.hangUp()
      t.equal(await settle(), before)
    })
  }

  await t.test('a descriptor with frames: it is closed, and the frames go on', async t => {
    const [first, second] = ['with a descriptor', 'after that'].map(text => textFrame(BROADCAST, A, text))
    const vm = await vms.give(daemon.socket, ['pair'], [framed(first)])
    t.strictSame(await listening.receive('with a descriptor'), first)
    await t.rejects(vm.send([first]), { code: 'ECONNREFUSED' }, 'nobody holds it')
    await vm.say(framed(second))
    t.strictSame(await listening.receive('after that'), second)
    await vm.hangUp()
    t.equal(await settle(), before)
  })

  await t.test('the word behind a frame is a broken length', async t => {
    const first = textFrame(BROADCAST, A, 'a frame first')
    const vm = await vms.give(daemon.socket, [], [framed(first)])
    await listening.receive('a frame first')
    await vm.say(WORD)
    t.same(await vm.hear(100), { bytes: Buffer.alloc(0), ended: true })
    await vm.hangUp()
    t.equal(await settle(), before)
  })

  await t.test('the word in two writes is the word, and with more behind it a broken length', async t => {
    const vm = await vms.give(daemon.socket, [], [WORD.subarray(0, 2), WORD.subarray(2)])
    t.same(await vm.hear(100), { bytes: WORD, ended: true })
    await vm.close()
    await vm.hangUp()
    const more = await vms.give(daemon.socket, [], [Buffer.from('DGRMx')])
    t.same(await more.hear(100), { bytes: Buffer.alloc(0), ended: true })
    await more.hangUp()
    t.equal(await settle(), before)
  })

  await t.test('who asks and hangs up at once, many times', async t => {
    for (let i = 0; i < 50; i++) await (await vms.give(daemon.socket, [], [WORD])).hangUp()
    t.equal(await settle(), before)
  })

  t.match(
    (await daemon.status()).networks[0].ports.filter(({ role }) => role === 'vm').length,
    1,
    'the one that listens is the last port',
  )
})

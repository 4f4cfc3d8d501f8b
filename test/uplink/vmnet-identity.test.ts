// The names by which macOS knows an interface again outlive the daemon, and never stop it from starting.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadIdentity } from '../../src/uplink/vmnet-identity.js'
import { scratch } from '../cli/command.js'

const ONE = '11111111-1111-4111-8111-111111111111'
const TWO = '22222222-2222-4222-8222-222222222222'

/** Gives out ONE, TWO, and then fails. */
function maker() {
  const left = [ONE, TWO]
  return () => {
    const next = left.shift()
    if (next === undefined) throw new Error('a third UUID was asked for')
    return next
  }
}

const never = () => {
  throw new Error('a UUID was made')
}

t.test('made at the first start, and the same from then on', async t => {
  const folder = join(scratch(t), 'state', 'default')
  const made = loadIdentity(folder, maker())
  t.strictSame(made, { interfaceId: ONE, networkId: TWO })
  t.strictSame(loadIdentity(folder, never), made)
  t.strictSame(readdirSync(folder), ['vmnet.json'], 'nothing else is left there')
})

t.test('what cannot be read is made anew', async t => {
  const folder = scratch(t)
  const file = join(folder, 'vmnet.json')
  for (const text of [
    '',
    '{',
    '[]',
    'null',
    '{"interfaceId":"x","networkId":"y"}',
    `{"interfaceId":"${ONE}"}`,
  ]) {
    writeFileSync(file, text)
    t.strictSame(loadIdentity(folder, maker()), { interfaceId: ONE, networkId: TWO }, text)
    t.match(JSON.parse(readFileSync(file, 'utf8')), { interfaceId: ONE })
  }
})

t.test('a folder that cannot be written is said in words', async t => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'file'), '')
  t.throws(() => loadIdentity(join(folder, 'file'), maker()), { code: 'ERR_STATE_DIR', hint: /--state-dir/ })
  mkdirSync(join(folder, 'vmnet.json'))
  t.throws(() => loadIdentity(folder, maker()), { code: 'ERR_STATE_DIR' })
  t.notOk(
    readdirSync(folder).some(name => name.startsWith('vmnet.json.')),
    'no half-made file stays',
  )
})

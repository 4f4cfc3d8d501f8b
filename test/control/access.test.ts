// Who may look and who may change: the file's mode lets in, the kernel's word on the peer decides on changes. And that
// one user's connections are no other user's trouble.

import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { requireChange } from '../../src/control/access.js'
import { asNobody, NOBODY, scratch } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { serveDhcp, type Served } from './dhcp-side.js'

t.setTimeout(60_000)

const GROUP = 54_321
const isAllowed = (act: () => void): boolean => {
  try {
    act()
    return true
  } catch {
    return false
  }
}

/** The command that runs as a user with a primary group and perhaps one more. */
const as = (uid: number, gid: number, more: number | undefined, argv: readonly string[]): string[] => [
  'setpriv',
  `--reuid=${uid}`,
  `--regid=${gid}`,
  more === undefined ? '--clear-groups' : `--groups=${more}`,
  '--inh-caps=+dac_read_search',
  '--ambient-caps=+dac_read_search',
  '--',
  ...argv,
]

const commands = ({ path }: Served) => ({
  look: [VMBRIDGE, 'leases', '--control', path],
  change: [VMBRIDGE, 'reservations', 'add', '192.168.105.20', '--name', 'a', '--control', path],
})

async function isRight(
  t: Test,
  served: Served,
  [name, ...who]: [name: string, uid: number, gid: number, more?: number],
  [looks, changes]: [boolean, boolean],
): Promise<void> {
  const [uid, gid, more] = who
  const { look, change } = commands(served)
  const looked = await execute(as(uid, gid, more, look))
  t.equal(looked.status, looks ? 0 : 1, `${name} looks: ${looked.stderr}`)
  const changed = await execute(as(uid, gid, more, change))
  t.equal(changed.status, changes ? 0 : 1, `${name} changes: ${changed.stderr}`)
  if (looks && !changes) {
    t.equal(changed.stdout, '')
    t.match(changed.stderr, /^vmbridge: user \d+ may look, but not change anything\n {2}try: use sudo/, name)
  }
  if (changes) {
    const { fields } = served.log.lines.at(-1)!
    t.match(fields, { event: 'control.change', uid }, 'the log has the user')
    t.ok(Number(fields['pid']) > 1 && fields['pid'] !== process.pid)
    await served.client.unreserve('192.168.105.20')
  } else t.same((await served.client.reservations()).reservations, [], `${name} reserved nothing`)
}

const root = { skip: requires(['root', 'linux']) }

t.test('a socket without a group of its own: root changes, others that get in look', root, async t => {
  const served = await serveDhcp(t, { mode: 0o666 })
  await isRight(t, served, ['root', 0, 0], [true, true])
  await isRight(t, served, ['a stranger', NOBODY, NOBODY], [true, false])
  await isRight(t, served, ['a stranger in root’s group', NOBODY, 0], [true, false])
})

t.test('a socket that root’s group may open without --socket-group: who is of it looks', root, async t => {
  const served = await serveDhcp(t, { mode: 0o660 })
  await isRight(t, served, ['one of root’s group', NOBODY, 0], [true, false])
  await isRight(t, served, ['a stranger', NOBODY, NOBODY], [false, false])
})

t.test('a socket with a group: its members change, by the primary group or another', root, async t => {
  const served = await serveDhcp(t, { mode: 0o660, gid: GROUP })
  await isRight(t, served, ['a member by the primary group', NOBODY, GROUP], [true, true])
  await isRight(t, served, ['a member by another group', NOBODY, NOBODY, GROUP], [true, true])
  await isRight(t, served, ['a stranger', NOBODY, NOBODY], [false, false])
})

t.test('a socket with a group where all may look: the primary group must do', root, async t => {
  const served = await serveDhcp(t, { mode: 0o666, gid: GROUP })
  await isRight(t, served, ['a member by the primary group', NOBODY, GROUP], [true, true])
  await isRight(t, served, ['a member by another group', NOBODY, NOBODY, GROUP], [true, false])
  await isRight(t, served, ['a stranger', NOBODY, NOBODY], [true, false])
})

t.test('opening the file to all under a running daemon lets nobody change things', root, async t => {
  const served = await serveDhcp(t, { mode: 0o660, gid: GROUP })
  chmodSync(served.path, 0o666)
  await isRight(t, served, ['a stranger', NOBODY, NOBODY], [true, false])
})

t.test('the user that the daemon runs as may change things', root, async t => {
  const path = join(scratch(t), 'c')
  const change = (uid: number) => () => requireChange({ path, gid: undefined }, { pid: 1, uid, gid: 7 })
  t.ok(isAllowed(change(0)))
  t.notOk(isAllowed(change(NOBODY)))
  process.seteuid!(NOBODY)
  t.teardown(() => process.seteuid!(0))
  t.ok(isAllowed(change(NOBODY)), 'its own')
  t.ok(isAllowed(change(0)), 'root')
  t.notOk(isAllowed(change(NOBODY - 1)))
})

t.test('a peer of which the kernel says nothing may change nothing', async t => {
  const unknown = { pid: -1, uid: -1, gid: -1 }
  for (const gid of [undefined, -1, GROUP]) {
    t.throws(() => requireChange({ path: '/nonexistent', gid }, unknown), { code: 'ERR_FORBIDDEN' })
  }
})

const HOARD = `
  const { connect } = require('node:net')
  let refused = 0
  for (let i = 0; i < 500; i++) {
    const socket = connect(process.argv[1])
    socket.on('error', () => {})
    socket.on('close', () => { if (++refused === 468) console.log('refused') })
    socket.resume()
  }
  setTimeout(() => {}, 60_000)
`

t.test('the connections of one user leave room for the others', root, async t => {
  const served = await serveDhcp(t, { mode: 0o666 })
  const hoarder = Child.launch(asNobody([process.execPath, '-e', HOARD, served.path]))
  t.teardown(() => hoarder.close())
  await hoarder.waitForLine(/refused/)
  await served.client.leases()
  t.match(served.log.lines, { length: 1, 0: { fields: { event: 'control.refused' } } }, 'and it is said once')
  t.match(served.log.lines[0]!.message, /32 of them of user 65534/)
})

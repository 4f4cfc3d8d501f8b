// Where sockets and leases are when nobody says otherwise: root's daemon is the machine's, another user's is that
// user's own, and two daemons never share a folder.

import { homedir } from 'node:os'
import t from 'tap'
import { controlBeside, ownPlace, stateFolderFor } from '../../src/config/paths.js'

const isMac = process.platform === 'darwin'
const SYSTEM = isMac
  ? { run: '/var/run/vmbridge', state: '/var/db/vmbridge' }
  : { run: '/run/vmbridge', state: '/var/lib/vmbridge' }

t.test("root's daemon is the machine's, whatever the environment says", async t => {
  t.strictSame(ownPlace(0, {}), SYSTEM)
  t.strictSame(ownPlace(0, { XDG_RUNTIME_DIR: '/x', XDG_STATE_HOME: '/y' }), SYSTEM)
})

t.test("a user's daemon is in the user's own folders", async t => {
  t.strictSame(ownPlace(1000, { XDG_RUNTIME_DIR: '/run/user/1000', XDG_STATE_HOME: '/home/u/state' }), {
    run: '/run/user/1000/vmbridge',
    state: '/home/u/state/vmbridge',
  })
  const atHome = { run: `${homedir()}/.vmbridge`, state: `${homedir()}/.local/state/vmbridge` }
  t.strictSame(ownPlace(1000, {}), atHome)
  t.strictSame(ownPlace(1000, { XDG_RUNTIME_DIR: '', XDG_STATE_HOME: '' }), atHome, 'empty is unset')
})

t.test('a daemon of another socket has another folder for its leases', async t => {
  const place = { run: '/run/vmbridge', state: '/var/lib/vmbridge' }
  t.equal(stateFolderFor(place, '/run/vmbridge/vmbridge.sock'), '/var/lib/vmbridge/default')
  const folders = [
    '/run/vmbridge/vmbridge.sock',
    '/tmp/a.sock',
    '/tmp/a/sock',
    '/tmp/a%2Fsock',
    '/tmp/b.sock',
    '/tmp/default',
    `/tmp/1${'ä'.repeat(50)}`,
    `/tmp/2${'ä'.repeat(50)}`,
  ].map(socket => stateFolderFor(place, socket))
  t.equal(new Set(folders).size, folders.length, folders.join('\n'))
  for (const folder of folders) {
    t.match(folder, /^\/var\/lib\/vmbridge\/[^/]+$/)
    t.ok(Buffer.byteLength(folder.slice('/var/lib/vmbridge/'.length)) <= 255, 'a file name that can be')
  }
})

t.test('the control socket of a second daemon stands beside its first socket', async t => {
  t.equal(controlBeside('/tmp/a.sock'), '/tmp/a.sock.control')
})

t.test('where that would be too long for a socket it stands with the default one', async t => {
  const socket = (length: number) => `/tmp/${'x'.repeat(length - 5)}`
  t.equal(controlBeside(socket(95)), `${socket(95)}.control`)
  for (const length of [96, 107]) {
    const control = controlBeside(socket(length))
    t.match(control, /\/vmbridge\/[0-9a-f]{16}\.control$/)
    t.ok(control.startsWith(ownPlace().run))
  }
  t.not(controlBeside(socket(96)), controlBeside(socket(97)))
})

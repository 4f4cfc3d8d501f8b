// Taking a path for a socket: what is replaced, what is refused, and what is never touched.

import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { BridgeError } from '../../src/errors.js'
import { native } from '../../src/native.js'
import { claimSocket } from '../../src/ports/claim.js'
import { Child } from '../helpers/child.js'
import { scratch, type Scope } from './bench.js'

const CLAIMANT = fileURLToPath(new URL('./claimant.js', import.meta.url))
const RIGHTS = { mode: 0o600 }

/** A socket file that nobody listens on any more. */
function stale(path: string): void {
  closeSync(native.listen(path, 0o600, -1))
}

const refusal = (path: string): BridgeError => {
  try {
    claimSocket(path, RIGHTS)
  } catch (error) {
    if (error instanceof BridgeError) return error
    throw error
  }
  throw new Error('the path was claimed')
}

async function claimant(t: Scope): Promise<Child> {
  const child = Child.launch([process.execPath, CLAIMANT], { stdin: true })
  t.teardown(() => child.close())
  await child.waitForLine(/^ready$/)
  return child
}

for (const mode of [0o600, 0o660, 0o666]) {
  t.test(`the socket file has mode ${mode.toString(8)}, whatever the umask`, async t => {
    const path = join(scratch(t), 's')
    const umask = process.umask(0o077)
    t.teardown(() => process.umask(umask))
    const claimed = claimSocket(path, { mode })
    t.equal(lstatSync(path).mode & 0o7777, mode)
    t.ok(lstatSync(path).isSocket())
    t.equal(process.umask(), 0o077, 'which is left as it was')
    closeSync(claimed.fd)
  })
}

t.test('the socket file belongs to the group that was asked for, else to the usual one', async t => {
  const directory = scratch(t)
  const gid = process.getuid!() === 0 ? 4242 : process.getgid!()
  const asked = claimSocket(join(directory, 'asked'), { mode: 0o660, gid })
  t.equal(lstatSync(asked.path).gid, gid)
  t.equal(lstatSync(asked.path).mode & 0o777, 0o660)
  const usual = claimSocket(join(directory, 'usual'), RIGHTS)
  t.equal(lstatSync(usual.path).gid, process.getegid!())
  for (const { fd } of [asked, usual]) closeSync(fd)
})

t.test('a stale socket is replaced', async t => {
  const path = join(scratch(t), 's')
  stale(path)
  const claimed = claimSocket(path, RIGHTS)
  closeSync(native.dial(path, true))
  closeSync(claimed.fd)
})

t.test('a socket that a living process holds is refused, naming the process, and stays', async t => {
  const path = join(scratch(t), 's')
  const holder = await claimant(t)
  holder.stdin!.write(`0 ${path}\n`)
  await holder.waitForLine(/^won/)
  const { ino } = lstatSync(path)
  const { code, message, hint } = refusal(path)
  t.equal(code, 'ERR_SOCKET_IN_USE')
  t.match(message, `PID ${holder.pid}`)
  t.match(message, path)
  t.ok(hint)
  t.equal(lstatSync(path).ino, ino)
  await holder.close()
  closeSync(claimSocket(path, RIGHTS).fd)
})

t.test('a socket whose backlog is full belongs to somebody', async t => {
  const path = join(scratch(t), 's')
  const { fd } = claimSocket(path, RIGHTS)
  const dialled: number[] = []
  t.teardown(() => [fd, ...dialled].forEach(each => closeSync(each)))
  t.throws(
    () => {
      for (;;) dialled.push(native.dial(path, true))
    },
    { code: 'EAGAIN' },
  )
  t.equal(refusal(path).code, 'ERR_SOCKET_IN_USE')
  t.ok(existsSync(path))
})

t.test('a regular file, a directory and a link are not touched', async t => {
  const directory = scratch(t)
  const at = (name: string) => join(directory, name)
  writeFileSync(at('file'), 'precious')
  mkdirSync(at('directory'))
  stale(at('stale'))
  symlinkSync(at('stale'), at('link-to-socket'))
  symlinkSync(at('nowhere'), at('link-to-nothing'))
  for (const name of ['file', 'directory', 'link-to-socket', 'link-to-nothing']) {
    const { code, hint } = refusal(at(name))
    t.equal(code, 'ERR_NOT_A_SOCKET', name)
    t.ok(hint)
  }
  t.equal(readFileSync(at('file'), 'utf8'), 'precious')
  t.ok(lstatSync(at('directory')).isDirectory())
  t.equal(readlinkSync(at('link-to-socket')), at('stale'))
  t.ok(lstatSync(at('stale')).isSocket())
  t.notOk(existsSync(at('nowhere')))
})

t.test('a pipe is not touched, nor a device', async t => {
  const directory = scratch(t)
  const [pipe, device] = [join(directory, 'pipe'), join(directory, 'null')]
  execFileSync('mkfifo', [pipe])
  t.equal(refusal(pipe).code, 'ERR_NOT_A_SOCKET')
  t.ok(lstatSync(pipe).isFIFO())
  if (process.getuid!() !== 0) return
  execFileSync('mknod', [device, 'c', '1', '3'])
  t.equal(refusal(device).code, 'ERR_NOT_A_SOCKET')
  t.ok(lstatSync(device).isCharacterDevice())
})

t.test('the longest path that fits is taken, a byte more is refused with its length', async t => {
  const directory = scratch(t)
  const limit = process.platform === 'darwin' ? 103 : 107
  const fits = join(directory, 's'.repeat(limit - directory.length - 1))
  t.equal(Buffer.byteLength(fits), limit)
  const claimed = claimSocket(fits, RIGHTS)
  t.ok(lstatSync(fits).isSocket())
  claimed.unlink()
  closeSync(claimed.fd)
  const { code, message, hint } = refusal(`${fits}s`)
  t.equal(code, 'ERR_SOCKET_PATH')
  t.match(message, String(limit))
  t.ok(hint)
  t.equal(refusal(fits.slice(0, -1) + 'ü').code, 'ERR_SOCKET_PATH', 'bytes count, not letters')
  t.same(readdirSync(directory), [])
})

t.test('a folder that does not exist is named, with the command that makes it', async t => {
  const directory = scratch(t)
  const { code, message, hint } = refusal(join(directory, 'no/such/s'))
  t.equal(code, 'ERR_SOCKET_PATH')
  t.match(message, 'does not exist')
  t.equal(hint, `mkdir -p ${join(directory, 'no/such')}`)
  writeFileSync(join(directory, 'file'), '')
  t.equal(refusal(join(directory, 'file/s')).code, 'ERR_SOCKET_PATH')
})

t.test('only its own file is unlinked: one that took its place stays', async t => {
  const path = join(scratch(t), 's')
  const first = claimSocket(path, RIGHTS)
  rmSync(path)
  const other = claimSocket(path, RIGHTS)
  first.unlink()
  t.ok(lstatSync(path).isSocket())
  other.unlink()
  t.notOk(existsSync(path))
  other.unlink()
  for (const { fd } of [first, other]) closeSync(fd)
})

t.test('claims leave no descriptor behind, won or lost', async t => {
  const directory = scratch(t)
  const path = join(directory, 's')
  const descriptors = () => readdirSync('/dev/fd').length
  const held = claimSocket(path, RIGHTS)
  const before = descriptors()
  for (let i = 0; i < 20; i++) {
    refusal(path)
    refusal(directory)
    refusal(join(directory, 'no/s'))
    const other = claimSocket(join(directory, 'other'), RIGHTS)
    other.unlink()
    closeSync(other.fd)
  }
  t.equal(descriptors(), before)
  closeSync(held.fd)
})

const ROUNDS = 30

for (const [what, prepare] of [
  ['free paths', () => {}],
  ['stale sockets', stale],
] as const) {
  t.test(`of eight processes that claim ${what} at once, one wins each`, async t => {
    const folder = scratch(t)
    const names = Array.from({ length: ROUNDS }, (_, n) => `s${String(n).padStart(2, '0')}`)
    const paths = names.map(name => join(folder, name))
    for (const path of paths) prepare(path)
    const racers = await Promise.all(Array.from({ length: 8 }, () => claimant(t)))
    for (const racer of racers) racer.stdin!.write(`${Date.now() + 100} ${paths.join(' ')}\n`)
    await Promise.all(racers.map(racer => racer.waitForLine(/^(won|lost)/, { count: ROUNDS })))
    for (const [round, path] of paths.entries()) {
      const said = racers.map(racer => racer.lines[1 + round].text)
      const won = said.filter(line => line.startsWith('won'))
      t.equal(won.length, 1, said.join('\n'))
      const owner = `lost ERR_SOCKET_IN_USE ${path} is held by PID ${won[0].split(' ')[1]}`
      t.ok(said.every(line => line === won[0] || line === owner))
    }
    t.same(readdirSync(folder).toSorted(), names, 'and nothing else is left there')
  })
}

// Files as an install writes and reads them: new ones only, whole and on disk; regular ones only, and nothing waited for.

import fs, { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { copyFile, openRegular, writeFile } from '../../src/install/files.js'
import { scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'

// What is written is given to root.
const skip = requires(['root', 'mkfifo'])
const text = (...parts: string[]) => parts.map(part => Buffer.from(part))

/** Replaces a call of node:fs for the time of a test. */
function replace<Name extends 'writeSync' | 'fsyncSync'>(t: Test, name: Name, other: unknown): void {
  const original = fs[name]
  fs[name] = other as (typeof fs)[Name]
  syncBuiltinESMExports()
  t.teardown(() => {
    fs[name] = original
    syncBuiltinESMExports()
  })
}

t.test('a new file is written to no file that is there, nor through a link', { skip }, async t => {
  const folder = scratch(t)
  const [there, link] = [join(folder, 'there'), join(folder, 'link')]
  writeFileSync(there, 'kept')
  symlinkSync(join(folder, 'target'), link)
  for (const path of [there, link]) t.throws(() => writeFile(path, 0o644, text('x')), { code: 'EEXIST' })
  t.equal(readFileSync(there, 'utf8'), 'kept')
  t.notOk(existsSync(join(folder, 'target')))
})

t.test('a disk that takes a part at a time gets all of it, and is told to keep it', { skip }, async t => {
  const path = join(scratch(t), 'file')
  const { writeSync, fsyncSync } = fs
  let synced = 0
  replace(t, 'writeSync', (fd: number, bytes: Uint8Array, at: number) => writeSync(fd, bytes, at, 1))
  replace(t, 'fsyncSync', (fd: number) => {
    synced = fs.fstatSync(fd).size
    fsyncSync(fd)
  })
  writeFile(path, 0o755, text('some', ' bytes'))
  t.equal(readFileSync(path, 'utf8'), 'some bytes')
  t.equal(statSync(path).mode & 0o777, 0o755)
  t.equal(synced, 10, 'once all of it was written')
})

t.test('only a regular file is read', { skip }, async t => {
  const folder = scratch(t)
  const at = (name: string) => join(folder, name)
  writeFileSync(at('file'), '')
  symlinkSync(at('file'), at('link'))
  mkdirSync(at('folder'))
  await execute(['mkfifo', at('fifo')])
  for (const [path, why] of [
    [at('link'), /it is a symbolic link$/],
    [at('folder'), /it is no regular file$/],
    [at('fifo'), /it is no regular file$/],
    ['/dev/zero', /it is no regular file$/],
    [at('none'), /ENOENT/],
  ] as const) {
    t.throws(() => openRegular(path), { code: 'ERR_INSTALL_SOURCE', message: why }, path)
    t.throws(() => copyFile(path, at('copy'), 0o644), { code: 'ERR_INSTALL_SOURCE' })
  }
  t.notOk(existsSync(at('copy')))
})

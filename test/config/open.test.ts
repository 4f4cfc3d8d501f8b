// Which files are read as a configuration: what root would do for others, what never ends, and what is no text.

import { chmodSync, chownSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MAX_CONFIG, openConfig } from '../../src/config/open.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'

t.test('a file is read as it is, through a link as well', async t => {
  const folder = t.testdir({ a: 'control: ä\n' })
  chmodSync(join(folder, 'a'), 0o644)
  symlinkSync(join(folder, 'a'), join(folder, 'link'))
  for (const name of ['a', 'link']) t.equal(openConfig(join(folder, name)), 'control: ä\n')
})

t.test('one that is not there says how to begin', async t => {
  const folder = t.testdir({ a: '' })
  for (const path of [join(folder, 'none'), join(folder, 'a', 'below')])
    t.throws(() => openConfig(path), {
      code: 'ERR_NO_CONFIG',
      message: path,
      hint: `vmbridge config init ${path}`,
    })
})

t.test('root reads what root alone may write', { skip: requires(['root']) }, async t => {
  const path = join(t.testdir({ a: 'x' }), 'a')
  const refused = (hint: string) => ({ code: 'ERR_CONFIG_RIGHTS', message: path, hint })
  for (const mode of [0o664, 0o646, 0o666]) {
    chmodSync(path, mode)
    t.throws(() => openConfig(path, 0), refused(`chmod go-w ${path}`), mode.toString(8))
    t.equal(openConfig(path, 1000), 'x', 'a user may read what others write')
  }
  chmodSync(path, 0o644)
  t.equal(openConfig(path, 0), 'x')
  chownSync(path, 65534, 65534)
  t.throws(() => openConfig(path, 0), {
    ...refused(`chown root ${path} && chmod go-w ${path}`),
    message: /user 65534 owns it/,
  })
})

t.test('what is no file, no text or too much is refused at once', { skip: requires(['mkfifo']) }, async t => {
  const folder = t.testdir({ folder: {} })
  const fifo = join(folder, 'fifo')
  await execute(['mkfifo', fifo])
  const wrong = (why: RegExp) => ({ code: 'ERR_CONFIG_FILE', message: why })
  t.throws(() => openConfig(fifo), wrong(/not a regular file/))
  t.throws(() => openConfig(join(folder, 'folder')), wrong(/not a regular file/))
  t.throws(() => openConfig('/dev/zero'), wrong(/not a regular file/))
  const path = join(folder, 'a')
  writeFileSync(path, Buffer.from([0x61, 0xff]), { mode: 0o644 })
  t.throws(() => openConfig(path), wrong(/not UTF-8/))
  writeFileSync(path, '#'.repeat(MAX_CONFIG))
  t.equal(openConfig(path).length, MAX_CONFIG)
  writeFileSync(path, '#'.repeat(MAX_CONFIG + 1))
  t.throws(() => openConfig(path), wrong(/more than 262144 bytes/))
})

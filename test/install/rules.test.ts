// Where root may install: a path that root alone can change, each component of it, as Lima wants it of what it starts.
// A refusal comes before anything is written, and says which component it is, whose, its mode and what to do.

import { chmodSync, chownSync, linkSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { install } from '../../src/install/install.js'
import { checkPath, checkPrefixName, checkTree } from '../../src/install/rules.js'
import { NOBODY, scratch } from '../cli/command.js'
import { requires } from '../helpers/requires.js'
import { agreeable, rootsFolder, smallPackage } from './place.js'

const skip = requires(['root'])

t.test('a prefix that could never do is wrong usage', async t => {
  const cases: [prefix: string, says: RegExp][] = [
    ['opt/vmbridge', /^--prefix opt\/vmbridge: that is no absolute path$/],
    ['', /no absolute path/],
    ['/opt/my bridge', /no path with spaces/],
    ['/opt/my\nbridge', /^--prefix "\/opt\/my\\nbridge": /],
    ['/opt/my\u001bbridge', /no path with spaces/],
    ['/', /everything/],
  ]
  for (const [prefix, message] of cases) {
    t.throws(() => checkPrefixName(prefix), { name: 'UsageError', message, hint: /\/opt\/vmbridge/ })
  }
  t.doesNotThrow(() => checkPrefixName('/opt/vmbridge'))
})

t.test('every component of the path is looked at, before anything is written', { skip }, async t => {
  const top = rootsFolder(t)
  const { root, node } = smallPackage(scratch(t), '1.0.0')
  const parent = join(top, 'parent')
  const prefix = join(parent, 'below/prefix')
  const tryInstall = () => install({ prefix, root, node, machine: agreeable('1.0.0'), progress: () => {} })
  const wrong: [make: () => void, message: RegExp, hint: RegExp][] = [
    [
      () => chownSync(parent, NOBODY, 0),
      /parent is not owned by root \(owner 65534:0, mode 0755\)/,
      /^chown root \S+parent, or /,
    ],
    [
      () => chmodSync(parent, 0o757),
      /parent is writable by everybody \(owner 0:0, mode 0757\)/,
      /^chmod o-w \S+parent, or /,
    ],
    [
      () => chmodSync(parent, 0o1777),
      /parent is writable by everybody \(owner 0:0, mode 1777\)/,
      /^choose a --prefix/,
    ],
    [
      () => {
        chownSync(parent, 0, 5)
        chmodSync(parent, 0o775)
      },
      /parent is writable by its group \(owner 0:5, mode 0775\)/,
      /^chmod g-w \S+parent, or /,
    ],
  ]
  for (const [make, message, hint] of wrong) {
    mkdirSync(parent, { recursive: true })
    chownSync(parent, 0, 0)
    chmodSync(parent, 0o755)
    make()
    await t.rejects(tryInstall(), { code: 'ERR_INSTALL_PATH', message, hint }, String(message))
    t.strictSame(readdirSync(parent), [], 'nothing was made')
  }
  chownSync(parent, 0, 0)
  chmodSync(parent, 0o775)
  t.doesNotThrow(() => checkPath(prefix), 'the group of root may write')
  await t.resolves(tryInstall())
})

t.test('a symbolic link in the path is refused, and so is a file', { skip }, async t => {
  const top = rootsFolder(t)
  mkdirSync(join(top, 'real'))
  symlinkSync(join(top, 'real'), join(top, 'link'))
  writeFileSync(join(top, 'file'), '')
  t.throws(() => checkPath(join(top, 'link/prefix')), {
    code: 'ERR_INSTALL_PATH',
    message: /link is a symbolic link \(owner 0:0, /,
    hint: /realpath \S+link$/,
  })
  t.throws(() => checkPath(join(top, 'file/prefix')), { message: /file is no folder/ })
  t.doesNotThrow(() => checkPath(join(top, 'real/prefix')))
})

t.test('folders of the prefix that lead elsewhere are refused', { skip }, async t => {
  const { root, node } = smallPackage(scratch(t), '1.0.0')
  for (const name of ['versions', 'bin']) {
    const prefix = rootsFolder(t)
    const elsewhere = rootsFolder(t)
    symlinkSync(elsewhere, join(prefix, name))
    const done = install({ prefix, root, node, machine: agreeable('1.0.0'), progress: () => {} })
    await t.rejects(done, { code: 'ERR_INSTALL_PATH', message: new RegExp(`${name} is a symbolic link`) })
    t.strictSame(readdirSync(elsewhere), [])
  }
})

t.test('a file system that keeps neither owners nor modes shows in the tree', { skip }, async t => {
  const cases: [make: (path: string) => void, says: RegExp][] = [
    [path => chownSync(path, NOBODY, 0), /not owned by 0:0 \(owner 65534:0, mode 0644\)/],
    [path => chownSync(path, 0, 5), /not owned by 0:0/],
    [path => chmodSync(path, 0o666), /neither of mode 0644 nor 0755 \(owner 0:0, mode 0666\)/],
    [path => chmodSync(path, 0o4755), /neither of mode/],
    [path => linkSync(path, `${path}2`), /hard link/],
    [path => symlinkSync('/etc/passwd', `${path}2`), /no regular file/],
    [path => mkdirSync(`${path}2`, { mode: 0o700 }), /not of mode 0755/],
  ]
  for (const [make, message] of cases) {
    const tree = rootsFolder(t)
    writeFileSync(join(tree, 'file'), '', { mode: 0o644 })
    t.doesNotThrow(() => checkTree(tree))
    make(join(tree, 'file'))
    t.throws(() => checkTree(tree), { code: 'ERR_INSTALL_PATH', message })
  }
})

// The packages that go into an installed tree: those that the program needs, as Node finds them, in places where Node
// finds the same ones.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync, cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { runtimePackages } from '../../src/install/packages.js'
import { scratch } from '../cli/command.js'
import { ROOT } from '../helpers/root.js'

type Layout = Record<string, { dependencies?: string[]; devDependencies?: string[] }>

/** Packages at those paths; each says its own path when it is asked what it and its dependencies are. */
function lay(folder: string, layout: Layout): void {
  for (const [path, { dependencies = [], devDependencies = [] }] of Object.entries(layout)) {
    mkdirSync(join(folder, path), { recursive: true })
    const any = (names: string[]) => Object.fromEntries(names.map(name => [name, '*']))
    const manifest = { dependencies: any(dependencies), devDependencies: any(devDependencies) }
    writeFileSync(join(folder, path, 'package.json'), JSON.stringify(manifest))
    const needs = dependencies.map(name => `require('${name}')`).join(', ')
    writeFileSync(join(folder, path, 'index.js'), `module.exports = ['${path}', [${needs}]]`)
  }
}

/** What the program finds in that folder: each package's name for itself, with what it found. */
const found = (root: string) =>
  execFileSync(process.execPath, ['-p', `JSON.stringify(require('${root}'))`], { env: {}, encoding: 'utf8' })

/** Copies what is needed and nothing else, and holds that the program finds the same there. */
function holds(t: Test, root: string): string[] {
  const copy = join(scratch(t), 'copy')
  const packages = runtimePackages(root)
  for (const { from, to } of [{ from: root, to: '' }, ...packages]) {
    for (const name of ['package.json', 'index.js']) {
      mkdirSync(dirname(join(copy, to, name)), { recursive: true })
      cpSync(join(from, name), join(copy, to, name))
    }
  }
  t.equal(found(copy), found(root))
  return packages.map(({ to }) => to).sort()
}

t.test('dependencies and theirs, but none of development, nor what nobody asked for', async t => {
  const folder = scratch(t)
  lay(folder, {
    p: { dependencies: ['a', '@s/b'], devDependencies: ['d'] },
    'p/node_modules/a': { dependencies: ['c'], devDependencies: ['d'] },
    'p/node_modules/@s/b': {},
    'p/node_modules/c': {},
    'p/node_modules/d': {},
    'p/node_modules/stray': {},
  })
  t.strictSame(holds(t, join(folder, 'p')), ['node_modules/@s/b', 'node_modules/a', 'node_modules/c'])
})

t.test('two of one name stay two, each with those that need it', async t => {
  const folder = scratch(t)
  lay(folder, {
    p: { dependencies: ['a', 'b', 'c'] },
    'p/node_modules/a': { dependencies: ['c'] },
    'p/node_modules/a/node_modules/c': { dependencies: ['e'] },
    'p/node_modules/b': { dependencies: ['c', 'e'] },
    'p/node_modules/b/node_modules/e': { dependencies: ['c'] },
    'p/node_modules/b/node_modules/c': {},
    'p/node_modules/c': {},
    'p/node_modules/e': {},
  })
  const expected = [
    'node_modules/a',
    'node_modules/a/node_modules/c',
    'node_modules/a/node_modules/c/node_modules/e',
    'node_modules/b',
    'node_modules/b/node_modules/c',
    'node_modules/c',
    // b's, since nothing outside needs another one from there
    'node_modules/e',
    'node_modules/e/node_modules/c',
  ]
  t.strictSame(holds(t, join(folder, 'p')), expected)
})

t.test('packages in a ring', async t => {
  const folder = scratch(t)
  lay(folder, {
    p: { dependencies: ['a'] },
    'p/node_modules/a': { dependencies: ['b'] },
    'p/node_modules/b': { dependencies: [] },
  })
  const manifest = join(folder, 'p/node_modules/b/package.json')
  writeFileSync(manifest, JSON.stringify({ dependencies: { a: '*', b: '*' } }))
  t.strictSame(
    runtimePackages(join(folder, 'p')).map(({ to }) => to),
    ['node_modules/a', 'node_modules/b'],
  )
})

t.test('packages above ours, as where npm installed it, and behind links, as pnpm lays them', async t => {
  const folder = scratch(t)
  lay(folder, {
    'node_modules/p': { dependencies: ['a', 'b'] },
    'node_modules/a': {},
    'store/b/node_modules/b': { dependencies: ['c'] },
    'store/b/node_modules/c': {},
  })
  symlinkSync(join(folder, 'store/b/node_modules/b'), join(folder, 'node_modules/b'))
  t.strictSame(holds(t, join(folder, 'node_modules/p')), [
    'node_modules/a',
    'node_modules/b',
    'node_modules/c',
  ])
})

t.test('one that is not installed is named', async t => {
  const folder = scratch(t)
  lay(folder, { p: { dependencies: ['a'] }, 'p/node_modules/a': {} })
  writeFileSync(join(folder, 'p/node_modules/a/package.json'), '{ "dependencies": { "none": "*" } }')
  t.throws(() => runtimePackages(join(folder, 'p')), {
    code: 'ERR_INSTALL_SOURCE',
    message: /node_modules\/a needs the package none, /,
  })
})

t.test("of this package: exactly the lockfile's, without those for development", async t => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>
  }
  const expected = Object.keys(lock.packages).filter(path => path !== '' && lock.packages[path].dev !== true)
  t.ok(expected.includes('node_modules/pino'))
  t.strictSame(
    runtimePackages(ROOT)
      .map(({ to }) => to)
      .sort(),
    expected.sort(),
  )
})

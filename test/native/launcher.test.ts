// The launcher under the names that it has in an installed tree: it finds its tree by its own path, starts the version
// that is current in place, and keeps from a privileged Node what would make it run somebody's code. The interpreter is
// a stand-in that says how it was started; test/install starts the real one.

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { NOBODY, scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'

t.setTimeout(600_000)

const LAUNCHER = join(ROOT, 'build/Release/launcher')
/** `=NAME` is a version, then its arguments in brackets, then its environment. */
const STAND_IN = '#!/bin/sh\necho "=NAME $$"\nprintf "[%s]" "$@"\necho\nexec env\n'
const SCRIPT = 'dist/src/cli/bin.js'

/** A prefix with two versions, of which `one` is current. */
function prefixOf(t: Test): string {
  const prefix = join(scratch(t), 'prefix')
  const write = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(prefix, path)), { recursive: true })
    writeFileSync(join(prefix, path), text, { mode })
  }
  for (const version of ['one', 'two']) {
    write(`versions/${version}/node`, STAND_IN.replace('NAME', version), 0o755)
    write(`versions/${version}/${SCRIPT}`, '')
  }
  write('current', 'one\n')
  mkdirSync(join(prefix, 'bin'))
  for (const name of ['vmbridge', 'socket_vmnet']) copyFileSync(LAUNCHER, join(prefix, 'bin', name))
  return prefix
}

const EMPTY = ['env', '-i']

t.test('it starts the current version from any folder, under an empty environment', async t => {
  const prefix = prefixOf(t)
  const vmbridge = join(prefix, 'bin/vmbridge')
  const started = (version: string) => [
    `=${version}`,
    `[--no-global-search-paths][${prefix}/versions/${version}/${SCRIPT}][status][][a b]`,
  ]
  const run = async (argv: readonly string[], cwd: string) => {
    const { status, stdout, stderr } = await execute([...EMPTY, ...argv, 'status', '', 'a b'], { cwd })
    t.equal(status, 0, stderr)
    const [first, second] = stdout.split('\n')
    return [first.split(' ')[0], second]
  }
  t.strictSame(await run([vmbridge], '/'), started('one'))
  t.strictSame(await run(['./vmbridge'], join(prefix, 'bin')), started('one'))
  writeFileSync(join(prefix, 'current'), 'two')
  t.strictSame(await run([vmbridge], '/'), started('two'), 'a line feed may be missing')
  const link = join(prefix, 'elsewhere')
  symlinkSync(vmbridge, link)
  t.strictSame(await run([link], '/'), started('two'), 'by a link of another name')
  rmSync(join(prefix, 'current'))
  mkdirSync(join(prefix, 'versions/two/bin'))
  renameSync(vmbridge, join(prefix, 'versions/two/bin/vmbridge'))
  t.strictSame(
    await run([join(prefix, 'versions/two/bin/vmbridge')], '/'),
    started('two'),
    'inside of a version',
  )
})

t.test('the PID stays', async t => {
  const { stdout } = await execute(['sh', '-c', 'echo $$; exec "$0"', join(prefixOf(t), 'bin/vmbridge')])
  const [before, after] = stdout.split('\n')
  t.equal(after, `=one ${before}`)
})

t.test('what the caller says its name is does not matter', async t => {
  const prefix = prefixOf(t)
  const argv0 = '/tmp/evil/bin/socket_vmnet'
  const { stdout } = spawnSync(join(prefix, 'bin/vmbridge'), ['x'], { argv0, encoding: 'utf8' })
  t.match(stdout, `[${prefix}/versions/one/${SCRIPT}][x]`)
})

t.test(
  'a launcher that was replaced since it was started finds its tree',
  { skip: requires(['linux']) },
  async t => {
    const prefix = prefixOf(t)
    const script = 'exec 9<"$0"; rm "$0"; exec /proc/self/fd/9 x'
    const { stdout, stderr } = await execute(['sh', '-c', script, join(prefix, 'bin/vmbridge')])
    t.match(stdout, `[${prefix}/versions/one/${SCRIPT}][x]`, stderr)
  },
)

t.test('a tree that is not whole is named, with status 1', async t => {
  const prefix = prefixOf(t)
  const vmbridge = join(prefix, 'bin/vmbridge')
  const refused = async (says: RegExp, program = vmbridge) => {
    const { status, stdout, stderr } = await execute([...EMPTY, program])
    t.strictSame({ status, stdout }, { status: 1, stdout: '' })
    t.match(stderr, says)
  }
  const script = `${prefix}/versions/one/dist/src/compat/socket-vmnet.js`
  await refused(
    new RegExp(`^socket_vmnet: cannot read ${script}: No such file or directory\n  try: `),
    join(prefix, 'bin/socket_vmnet'),
  )
  for (const current of ['', '\n', '../../etc', 'a/b', '.', '..', '.hidden']) {
    writeFileSync(join(prefix, 'current'), current)
    await refused(/^vmbridge: the tree that \S+\/bin\/vmbridge belongs to is not whole \(current: /)
  }
  for (const current of ['three\n', 'x'.repeat(500)]) {
    writeFileSync(join(prefix, 'current'), current)
    await refused(/^vmbridge: cannot read \S+\/versions\/(three|x{127})\/dist\/src\/cli\/bin\.js: /)
  }
  writeFileSync(join(prefix, 'current'), 'two\n')
  rmSync(join(prefix, 'versions/two/node'))
  await refused(/^vmbridge: cannot start \S+\/versions\/two\/node: No such file or directory\n {2}try: /)
})

/** Makes Node run, load or write what the caller chose. */
const FOREIGN = [
  'NODE_OPTIONS=--require=/tmp/evil.js',
  'NODE_PATH=/tmp',
  'NODE_EXTRA_CA_CERTS=/tmp/evil.pem',
  'NODE_COMPILE_CACHE=/tmp',
  'NODE_V8_COVERAGE=/tmp',
  'OPENSSL_CONF=/tmp/evil.cnf',
  'OPENSSL_MODULES=/tmp',
  'LD_LIBRARY_PATH=/tmp',
  'LD_AUDIT=',
  'DYLD_INSERT_LIBRARIES=/tmp/evil.dylib',
  'GCONV_PATH=/tmp',
  'VMBRIDGE_PREBUILD=/tmp',
  'VMBRIDGE_KEPT_LD_AUDIT=/tmp/evil.so',
]
/** Said to the program, or to the one that `vmbridge run` starts. */
const HARMLESS = [
  'HOME=/root',
  'LANG=C',
  'MY_NODE_OPTIONS=x',
  'PATH=/usr/bin:/bin',
  'VMBRIDGE_SOCKET=/run/s',
  'X=NODE_OPTIONS=x',
]
const ALL = [...FOREIGN, ...HARMLESS]

/** What the stand-in found, without what shells and the launcher add. */
const variables = (stdout: string) =>
  stdout
    .split('\n')
    .slice(2)
    .filter(line => line !== '' && !/^(PWD|SHLVL|_|OLDPWD|VMBRIDGE_INHERITED)=/.test(line))
    .sort()

t.test(
  'root starts Node without variables that make it run foreign code',
  { skip: requires(['root']) },
  async t => {
    const { stdout } = await execute([...EMPTY, ...ALL, join(prefixOf(t), 'bin/vmbridge')])
    t.strictSame(variables(stdout), [...HARMLESS].sort())
  },
)

const asUser = [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--inh-caps=-all',
  '--',
]

t.test('another user keeps the own variables', { skip: requires(['root', 'setpriv']) }, async t => {
  const { stdout, stderr } = await execute([...asUser, ...EMPTY, ...ALL, join(prefixOf(t), 'bin/vmbridge')])
  t.strictSame(variables(stdout), [...ALL].sort(), stderr)
})

t.test(
  'a launcher with rights of its own drops them too',
  { skip: requires(['linux', 'root', 'setpriv']) },
  async t => {
    const vmbridge = join(prefixOf(t), 'bin/vmbridge')
    chownSync(vmbridge, 0, 1)
    chmodSync(vmbridge, 0o2755)
    const { stdout, stderr } = await execute([...asUser, ...EMPTY, ...ALL, vmbridge])
    t.strictSame(variables(stdout), [...HARMLESS].sort(), stderr)
  },
)

t.test(
  "a stand-in for QEMU keeps them out of Node's sight, in their places",
  { skip: requires(['linux', 'root', 'setpriv']) },
  async t => {
    const prefix = prefixOf(t)
    mkdirSync(join(prefix, 'talos'))
    mkdirSync(join(prefix, 'versions/one/dist/src/talos'))
    writeFileSync(join(prefix, 'versions/one/dist/src/talos/bin.js'), '')
    const more = ['VMBRIDGE_KEPT_LD_PRELOAD=/tmp/evil.so']
    const hidden = [...FOREIGN, ...more].map(variable => `VMBRIDGE_KEPT_${variable}`)
    for (const name of ['qemu-system-aarch64', 'qemu-system-x86_64']) {
      const program = join(prefix, 'talos', name)
      copyFileSync(LAUNCHER, program)
      for (const user of [[], asUser]) {
        const { stdout, stderr } = await execute([...user, ...EMPTY, ...ALL, ...more, program, '-version'])
        t.strictSame(variables(stdout), [...hidden, ...HARMLESS].sort(), stderr)
        t.match(stdout, `[${prefix}/versions/one/dist/src/talos/bin.js][-version]`)
      }
    }
  },
)

t.test('what Node will change of the process is noted, whatever the caller says', async t => {
  const state = ['env', '-i', '--ignore-signal=HUP', 'VMBRIDGE_INHERITED=lies']
  const { stdout } = await execute([...state, join(prefixOf(t), 'bin/vmbridge')])
  const [noted, ...more] = stdout.match(/^VMBRIDGE_INHERITED=.*$/gm) ?? []
  t.match(noted, /^VMBRIDGE_INHERITED=1:0:\d+:0,1,2(,\d+)*$/)
  t.strictSame(more, [])
})

t.test("Node does not look for modules in the caller's home", async t => {
  const prefix = prefixOf(t)
  const home = scratch(t)
  mkdirSync(join(home, '.node_modules'))
  writeFileSync(join(home, '.node_modules/optional.js'), 'console.log("foreign")')
  writeFileSync(
    join(prefix, 'versions/one', SCRIPT),
    'try { require("optional") } catch ({ code }) { console.log(code) }',
  )
  rmSync(join(prefix, 'versions/one/node'))
  symlinkSync(process.execPath, join(prefix, 'versions/one/node'))
  const env = [...EMPTY, `HOME=${home}`]
  t.equal((await execute([...env, join(prefix, 'bin/vmbridge')])).stdout, 'MODULE_NOT_FOUND\n')
  const without = await execute([...env, process.execPath, join(prefix, 'versions/one', SCRIPT)])
  t.equal(without.stdout, 'foreign\n', 'which it would')
})

t.test('in a checkout it takes Node and the script, and leaves the environment alone', async t => {
  const { stdout } = await execute([...EMPTY, ...ALL, LAUNCHER, '/usr/bin/env'])
  t.equal(stdout, '')
  const shown = await execute([...EMPTY, ...ALL, LAUNCHER, '/bin/sh', '-c', 'env'])
  t.strictSame(variables(`\n\n${shown.stdout}`), [...ALL].sort())
  const { status, stderr } = await execute([LAUNCHER, 'node'])
  t.strictSame({ status, stderr }, { status: 2, stderr: 'usage: launcher NODE SCRIPT ARGS...\n' })
})

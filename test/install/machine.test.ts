// What the system's own programs are asked, on machines that this one is not: the outputs of otool, ldd and codesign
// are given, the calls are held. That codesign's signature gives the right to vmnet, only a Mac can show.

import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkLibraries, runProgram, signTree, type Machine, type Ran } from '../../src/install/machine.js'
import { scratch } from '../cli/command.js'
import { requires } from '../helpers/requires.js'

const ok = (stdout = ''): Ran => ({ status: 0, stdout, stderr: '' })
const failed = (stderr: string): Ran => ({ status: 1, stdout: '', stderr })

/** A Mac whose programs answer so; the calls are noted. */
function mac(release: string, arch: string, answer: (argv: readonly string[]) => Ran) {
  const calls: string[] = []
  const run = (argv: readonly string[]) => {
    calls.push(argv.join(' '))
    return answer(argv)
  }
  return { machine: { platform: 'darwin', release, arch, run } satisfies Machine, calls }
}

const linux = (answer: Ran): Machine => ({
  platform: 'linux',
  release: '6.1',
  arch: 'x64',
  run: () => answer,
})

// The official build, Homebrew's, and what a path may look like.
const OFFICIAL = `/usr/local/bin/node:
\t/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation (compatibility version 150.0.0, current version 3423.0.0)
\t/usr/lib/libSystem.B.dylib (compatibility version 1.0.0, current version 1351.0.0)
\t/usr/lib/libc++.1.dylib (compatibility version 1.0.0, current version 1900.178.0)
`
const HOMEBREW = `/opt/homebrew/Cellar/node/25.2.1/bin/node:
\t@rpath/libnode.141.dylib (compatibility version 0.0.0, current version 0.0.0)
\t/opt/homebrew/opt/libuv/lib/libuv.1.dylib (compatibility version 2.0.0, current version 2.0.0)
\t/opt/with a space/lib/libssl.3.dylib (compatibility version 3.0.0, current version 3.0.0)
\t/usr/lib/libSystem.B.dylib (compatibility version 1.0.0, current version 1351.0.0)
`

t.test('on macOS the libraries are asked of otool, and only those of the system may be there', async t => {
  const official = mac('24.6.0', 'arm64', () => ok(OFFICIAL))
  checkLibraries(official.machine, '/usr/local/bin/node')
  t.strictSame(official.calls, ['/usr/bin/otool -L /usr/local/bin/node'])
  const { machine } = mac('24.6.0', 'arm64', () => ok(HOMEBREW))
  t.throws(() => checkLibraries(machine, '/opt/homebrew/bin/node'), {
    code: 'ERR_INSTALL_NODE',
    message:
      "/opt/homebrew/bin/node cannot be copied: it is linked to libraries outside of the system's folders, " +
      '@rpath/libnode.141.dylib, /opt/homebrew/opt/libuv/lib/libuv.1.dylib, /opt/with a space/lib/libssl.3.dylib',
    hint: /official build of Node \(https:\/\/nodejs\.org/,
  })
})

t.test('without an answer of otool or ldd nothing is installed', async t => {
  const { machine } = mac('24.6.0', 'arm64', () =>
    failed('xcode-select: note: No developer tools were found\n'),
  )
  t.throws(() => checkLibraries(machine, '/n'), {
    code: 'ERR_INSTALL_NODE',
    message: '/usr/bin/otool -L /n failed: xcode-select: note: No developer tools were found',
    hint: /^xcode-select --install/,
  })
  t.throws(() => checkLibraries(linux({ ...failed(''), status: null }), '/n'), {
    message: /ldd \/n failed: it gave no/,
  })
})

const LDD = `\tlinux-vdso.so.1 (0x00007ffd3f5f2000)
\tlibdl.so.2 => /lib/x86_64-linux-gnu/libdl.so.2 (0x00007f0ad5a31000)
\tlibstdc++.so.6 => /usr/lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f0ad5800000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f0ad5a4b000)
`

t.test('on Linux the libraries are asked of ldd, and only those of the system may be there', async t => {
  t.doesNotThrow(() => checkLibraries(linux(ok(LDD)), '/n'))
  t.doesNotThrow(() => checkLibraries(linux(ok('\t/lib/ld-musl-x86_64.so.1 (0x7f44)\n')), '/n'), 'musl')
  t.doesNotThrow(
    () => checkLibraries(linux(failed('\tnot a dynamic executable\n')), '/n'),
    'no libraries, glibc',
  )
  t.doesNotThrow(() => checkLibraries(linux(ok('\tstatically linked\n')), '/n'), 'no libraries, newer glibc')
  const cases: [line: string, named: string][] = [
    ['\tlibuv.so.1 => /home/u/lib/libuv.so.1 (0x00007f0ad5800000)', '/home/u/lib/libuv.so.1'],
    ['\tlibuv.so.1 => /usr/local/lib/libuv.so.1 (0x00007f0ad5800000)', '/usr/local/lib/libuv.so.1'],
    ['\tlibuv.so.1 => /home/a b/libuv.so.1 (0x00007f0ad5800000)', '/home/a b/libuv.so.1'],
    ['\tlibuv.so.1 => not found', 'libuv.so.1'],
    ['\t/home/u/libx.so (0x00007f0ad5800000)', '/home/u/libx.so'],
  ]
  for (const [line, named] of cases) {
    t.throws(() => checkLibraries(linux(ok(`${LDD}${line}\n`)), '/n'), {
      message: `/n cannot be copied: it is linked to libraries outside of the system's folders, ${named}`,
    })
  }
})

t.test('this Node, as this machine has it', { skip: requires(['linux']) }, async t => {
  const machine: Machine = { platform: 'linux', release: '6.1', arch: process.arch, run: runProgram }
  t.doesNotThrow(() => checkLibraries(machine, process.execPath))
  t.throws(() => checkLibraries(machine, '/no/such/file'), { code: 'ERR_INSTALL_NODE' })
})

const PROGRAMS = ['bin/vmbridge', 'bin/socket_vmnet']
const tree = (folder: string) => {
  writeFileSync(join(folder, 'node'), '')
  return folder
}
const verifyCalls = (folder: string) =>
  ['node', 'build/Release/vmbridge.node', ...PROGRAMS].map(
    path => `/usr/bin/codesign --verify ${join(folder, path)}`,
  )

t.test(
  'on macOS 26 the interpreter is signed with the entitlement, then all is verified',
  { skip: requires(['root']) },
  async t => {
    for (const release of ['25.0.0', '25.1.0', '26.0.0']) {
      const folder = tree(scratch(t))
      const { machine, calls } = mac(release, 'arm64', argv => {
        // It may leave another file, with rights of its own choice.
        if (argv.includes('--sign')) chmodSync(join(folder, 'node'), 0o600)
        return ok()
      })
      t.equal(signTree(machine, folder, PROGRAMS), true)
      t.equal(statSync(join(folder, 'node')).mode & 0o7777, 0o755)
      const sign = `/usr/bin/codesign --force --sign - --entitlements ${folder}/entitlements.plist ${folder}/node`
      t.strictSame(calls, [sign, ...verifyCalls(folder)], release)
      const plist = readFileSync(join(folder, 'entitlements.plist'), 'utf8')
      t.match(plist, /<dict>\s*<key>com\.apple\.security\.virtualization<\/key>\s*<true\/>\s*<\/dict>/)
    }
  },
)

t.test('on macOS 15 and 14 nothing is signed, and all is verified', async t => {
  for (const release of ['24.6.0', '23.6.0']) {
    const folder = tree(scratch(t))
    const { machine, calls } = mac(release, 'arm64', () => ok())
    t.equal(signTree(machine, folder, PROGRAMS), false)
    t.strictSame(calls, verifyCalls(folder), release)
  }
})

t.test('on Linux nothing is called', async t => {
  const run = () => t.fail('a program was run') as never
  t.equal(signTree({ platform: 'linux', release: '25.0.0', arch: 'arm64', run }, '/nowhere', PROGRAMS), false)
})

t.test('what codesign refuses ends the install', { skip: requires(['root']) }, async t => {
  const folder = tree(scratch(t))
  const refusing = (word: string) => (argv: readonly string[]) =>
    argv.includes(word) ? failed('some noise\nrefused\n') : ok()
  t.throws(() => signTree(mac('25.0.0', 'arm64', refusing('--sign')).machine, folder, []), {
    code: 'ERR_INSTALL_SIGNATURE',
    message: /^\/usr\/bin\/codesign --force .* failed: refused$/,
    hint: /codesign --verify/,
  })
  t.throws(() => signTree(mac('24.0.0', 'arm64', refusing('--verify')).machine, folder, []), {
    code: 'ERR_INSTALL_SIGNATURE',
    message: `/usr/bin/codesign --verify ${folder}/node failed: refused`,
  })
})

t.test('what is not signed at all may be so on Intel, not on an Apple chip', async t => {
  const unsigned = (argv: readonly string[]) =>
    argv.at(-1)?.endsWith('.node') ? failed(`${argv.at(-1)}: code object is not signed at all\n`) : ok()
  const folder = tree(scratch(t))
  t.equal(signTree(mac('24.0.0', 'x64', unsigned).machine, folder, PROGRAMS), false)
  t.throws(() => signTree(mac('24.0.0', 'arm64', unsigned).machine, folder, PROGRAMS), {
    message: /vmbridge\.node failed: .*not signed at all$/,
  })
  t.throws(
    () => signTree(mac('24.0.0', 'x64', () => failed('invalid signature\n')).machine, folder, PROGRAMS),
    {
      message: /node failed: invalid signature$/,
    },
  )
})

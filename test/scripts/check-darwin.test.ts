// What scripts/check-darwin notices, shown on a project of a few lines and an SDK of our own making that has
// just what these lines need. Whether vmbridge itself passes takes Apple's SDK, which cannot be part of CI on
// Linux: .github/workflows/macos.yml runs the script on Macs.

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'

t.setTimeout(600_000)

const NEEDS = ['python3', 'clang-19', 'clang++-19', 'llvm-nm-19', 'ld64.lld-19', 'npm']

const BINDING = {
  targets: [
    {
      target_name: 'addon',
      sources: ['common.c'],
      cflags: ['-Wall'],
      conditions: [
        ["OS=='mac'", { sources: ['only_mac.c'], link_settings: { libraries: ['-framework vmnet'] } }],
        ["OS=='linux'", { sources: ['only_linux.c'] }],
      ],
      xcode_settings: { MACOSX_DEPLOYMENT_TARGET: '11.0' },
    },
    {
      target_name: 'tool',
      type: 'executable',
      sources: ['tool.c'],
      xcode_settings: { MACOSX_DEPLOYMENT_TARGET: '12.0' },
    },
  ],
}

const stub = (installName: string, symbols: readonly string[]) => `--- !tapi-tbd
tbd-version:     4
targets:         [ x86_64-macos, arm64-macos ]
install-name:    '${installName}'
exports:
  - targets:         [ x86_64-macos, arm64-macos ]
    symbols:         [ ${symbols.join(', ')} ]
...
`

const settings = (version: string) => JSON.stringify({ Version: version, MaximumDeploymentTarget: version })

const VMNET_H = `
int vmnet_old(int) __attribute__((availability(macos, introduced = 10.10)));
int vmnet_new(int) __attribute__((availability(macos, introduced = 26.0)));
`

const FRAMEWORK = 'sdk/System/Library/Frameworks/vmnet.framework'

/** A project that passes; `changes` are its files, or the SDK's, in another form. */
function project(t: Test, changes: Record<string, string> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'vbt-check-darwin-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const files: Record<string, string> = {
    'binding.gyp': JSON.stringify(BINDING),
    'common.c':
      'int napi_make(int);\nconst char* uv = "uv_close";\nint common(void) { return napi_make(1); }\n',
    'only_mac.c': '#include <vmnet/vmnet.h>\nint mac(void) { return vmnet_old(3); }\n',
    'only_linux.c': '#error this is not built on a Mac\n',
    'tool.c': 'int puts(const char*);\nint main(void) { return puts("ok"); }\n',
    'node/include/node/common.gypi':
      "{'target_defaults': {'default_configuration': 'Release', 'configurations': {'Release': {}, 'Debug': {}}}}",
    'node/include/node/uv.h': 'UV_EXTERN int uv_close(int);\nint uv__inside(int);\n',
    'sdk/SDKSettings.json': settings('26.0'),
    'sdk/usr/include/empty.h': '',
    'sdk/usr/lib/libSystem.tbd': stub('/usr/lib/libSystem.B.dylib', ['dyld_stub_binder', '_puts']),
    'sdk/usr/lib/libc++.tbd': stub('/usr/lib/libc++.1.dylib', []),
    [`${FRAMEWORK}/Headers/vmnet.h`]: VMNET_H,
    [`${FRAMEWORK}/vmnet.tbd`]: stub('/System/Library/Frameworks/vmnet.framework/Versions/A/vmnet', [
      '_vmnet_old',
      '_vmnet_new',
    ]),
    ...changes,
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  mkdirSync(join(root, 'scripts'))
  copyFileSync(join(ROOT, 'scripts/check-darwin'), join(root, 'scripts/check-darwin'))
  // node-gyp may be the project's own
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  return root
}

const check = (root: string, env: Record<string, string> = {}) =>
  execute([join(root, 'scripts/check-darwin')], {
    env: { MACOS_SDK: join(root, 'sdk'), npm_config_nodedir: join(root, 'node'), ...env },
    timeoutMs: 120_000,
  })

/** That the check of a project with these changes fails, saying `words`. */
async function refuses(t: Test, changes: Record<string, string>, words: readonly RegExp[]): Promise<void> {
  const { status, stdout, stderr } = await check(project(t, changes))
  t.equal(status, 1, stdout)
  for (const word of words) t.match(stderr, word)
  t.notMatch(stdout, /^check-darwin: ok/m)
}

t.test('without an SDK it is skipped, says so, and succeeds', { skip: requires(['python3']) }, async t => {
  const { status, stdout, stderr } = await check(ROOT, { MACOS_SDK: '' })
  t.equal(status, 0)
  t.match(stdout, /^check-darwin: skipped, because MACOS_SDK is not set/)
  t.equal(stderr, '')
})

t.test('what is no SDK is refused with what to name', { skip: requires(['python3']) }, async t => {
  const absent = await check(ROOT, { MACOS_SDK: '/no/such.sdk' })
  t.equal(absent.status, 1)
  t.match(absent.stderr, /MACOS_SDK=\/no\/such\.sdk: no such directory\n {2}try: /)
  const other = await check(ROOT, { MACOS_SDK: ROOT })
  t.equal(other.status, 1)
  t.match(other.stderr, /is no macOS SDK: it has no SDKSettings\.json\n {2}try: on a Mac, `xcrun /)
})

t.test('an argument is wrong usage', { skip: requires(['python3']) }, async t => {
  const { status, stdout } = await execute([join(ROOT, 'scripts/check-darwin'), '--arm64'])
  t.equal(status, 2)
  t.match(stdout, /MACOS_SDK=/)
})

t.test('a project', { skip: requires(NEEDS) }, async t => {
  await t.test('that is right passes, for both architectures', async t => {
    const { status, stdout, stderr } = await check(project(t))
    t.equal(status, 0, stderr)
    for (const architecture of ['arm64', 'x86_64']) {
      t.match(
        stdout,
        new RegExp(`^${architecture} addon.node: macOS 11\\.0 or later; .*vmnet 1, N-API 1$`, 'm'),
      )
      t.match(stdout, new RegExp(`^${architecture} tool: macOS 12\\.0 or later; .*libSystem \\d+$`, 'm'))
    }
    t.match(stdout, /looked up by dlsym in Node, from its libuv: uv_close$/m)
    t.match(stdout, /^check-darwin: ok$/m)
  })

  await t.test('with a misspelt name fails, though the linker is content', async t => {
    const misspelt = 'int vmnet_odl(int);\nint mac(void) { return vmnet_odl(3); }\n'
    await refuses(t, { 'only_mac.c': misspelt }, [
      /arm64 addon: nobody exports _vmnet_odl/,
      /x86_64 addon: nobody/,
    ])
  })

  await t.test('that leaves more than N-API to be looked up fails, be it of libuv', async t => {
    const direct = 'int uv_close(int);\nint mac(void) { return uv_close(3); }\n'
    await refuses(t, { 'only_mac.c': direct }, [/nobody exports _uv_close/])
  })

  await t.test('that looks up in libuv what is not exported fails', async t => {
    const inside = 'const char* mac(void) { return "uv__inside"; }\n'
    await refuses(t, { 'only_mac.c': inside }, [/looks up what libuv does not export: uv__inside/])
  })

  await t.test('whose executable leaves a name to be looked up fails', async t => {
    const tool = 'int napi_make(int);\nint main(void) { return napi_make(1); }\n'
    await refuses(t, { 'tool.c': tool }, [/arm64 tool: .*undefined symbol: _?napi_make/s])
  })

  await t.test('that calls what is newer than its oldest macOS fails', async t => {
    const unguarded = '#include <vmnet/vmnet.h>\nint mac(void) { return vmnet_new(3); }\n'
    await refuses(t, { 'only_mac.c': unguarded }, [/'vmnet_new' is only available on macOS 26\.0 or newer/])
  })

  await t.test('with a warning fails', async t => {
    await refuses(t, { 'common.c': 'int common(int a, unsigned b) { return a < b; }\n' }, [/-Wsign-compare/])
  })

  await t.test('that looks up at run time what the newest SDK has not fails', async t => {
    const source = 'const char* mac(void) { return "vmnet_nwe"; }\n'
    await refuses(t, { 'only_mac.c': source }, [/looks up what vmnet\.framework has not: vmnet_nwe/])
  })

  await t.test('that looks up what an older SDK cannot know passes, and is told', async t => {
    const source = 'const char* mac(void) { return "vmnet_newest"; }\n'
    const root = project(t, { 'only_mac.c': source, 'sdk/SDKSettings.json': settings('12.0') })
    const { status, stdout, stderr } = await check(root)
    t.equal(status, 0, stderr)
    t.match(stdout, /newer than this SDK, so unchecked: vmnet_newest$/m)
  })
})

// The Homebrew formula, evaluated by a stand-in of Homebrew's language, and its test block run for real. That Homebrew
// itself takes it, only a Mac with Homebrew shows.

import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DEFAULT_PREFIX } from '../../src/config/paths.js'
import { readSource } from '../../src/install/source.js'
import { macDefinition } from '../../src/service/definition.js'
import { launchdJob } from '../../src/service/plist.js'
import { scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'

t.setTimeout(600_000)

const FORMULA = join(ROOT, 'launchd/vmbridge.rb')
const HOMEBREW = join(ROOT, 'test/service/homebrew.rb')
const skip = requires(['ruby'])

type Described = {
  formula: Record<string, unknown>
  version: string
  caveats: string
  service: Record<string, unknown>
  install: (string | Record<string, string>)[][]
  env: Record<string, string>
}

async function describe(): Promise<Described> {
  const { status, stdout, stderr } = await execute(['ruby', HOMEBREW, FORMULA, 'describe'])
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Described
}

t.test('ruby finds nothing wrong with it', { skip }, async t => {
  t.match(await execute(['ruby', '-wc', FORMULA]), { status: 0, stdout: 'Syntax OK\n', stderr: '' })
})

t.test("the service starts the root-owned tree's program, as launchd's own job does", { skip }, async t => {
  const { service, caveats } = await describe()
  const job = launchdJob(macDefinition({ prefix: DEFAULT_PREFIX, options: [] }))
  t.strictSame(service, {
    run: { macos: job['ProgramArguments'] },
    require_root: true,
    run_type: 'immediate',
    keep_alive: true,
    process_type: 'interactive',
    log_path: job['StandardOutPath'],
    error_log_path: job['StandardErrorPath'],
  })
  // Not by the wrapper in bin, which starts Homebrew's Node: that one cannot be copied.
  t.match(caveats, /^ {2}sudo \/usr\/local\/bin\/node OPT\/vmbridge\/libexec\/bin\/vmbridge install$/m)
  t.match(caveats, /^ {2}sudo \/opt\/vmbridge\/bin\/vmbridge service install$/m)
})

t.test(
  'it is this package, built from source, and what it installs is there after a build',
  { skip },
  async t => {
    const { formula, version, install, env } = await describe()
    const json = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, string>
    t.equal(version, json['version'])
    t.equal(formula['license'], json['license'])
    t.match(formula['url'], /^https:.*\.tar\.gz$/)
    t.match(formula['sha256'], /^[0-9a-f]{64}$/)
    t.strictSame(formula['depends_on'], [{ python: 'build' }, 'node'])
    t.strictSame(env, { npm_config_nodedir: 'OPT/node' })
    const commands = install.filter(([kind]) => kind === 'system').map(step => step.slice(1, 3).join(' '))
    t.strictSame(commands, ['npm ci', 'npm prune'])
    const files = install
      .filter(([kind]) => kind === 'install')
      .flatMap(([, , ...names]) => names as string[])
    const expected = ['bin', 'build', 'launchd', 'node_modules', 'LICENSE', 'package.json', 'dist/src']
    t.strictSame(files, expected)
    for (const file of files) t.ok(existsSync(join(ROOT, file)), file)
    // With its libexec as Homebrew fills it, there is all that `vmbridge install` copies.
    const libexec = scratch(t)
    mkdirSync(join(libexec, 'dist'))
    for (const file of files) {
      if (statSync(join(ROOT, file)).isFile()) copyFileSync(join(ROOT, file), join(libexec, file))
      else symlinkSync(join(ROOT, file), join(libexec, file))
    }
    t.doesNotThrow(() => readSource(libexec, process.execPath))
    t.strictSame(install.at(-1), [
      'script',
      'BIN/vmbridge',
      'LIBEXEC/bin/vmbridge',
      { VMBRIDGE_NODE: 'OPT/node/bin/node' },
    ])
  },
)

t.test('its test block holds of this build', { skip }, async t => {
  const folder = scratch(t)
  const argv = ['ruby', HOMEBREW, FORMULA, 'test', join(ROOT, 'bin')]
  const { status, stdout, stderr } = await execute(argv, { cwd: folder, timeoutMs: 50_000 })
  t.equal(status, 0, stderr)
  t.equal(stdout, 'ok\n')
})

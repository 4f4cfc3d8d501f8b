// docs/migration.md is pasted into a terminal by people who come from socket_vmnet: every command of ours in it, in a
// block or in a sentence, is one that the program takes, and every link inside of the page leads somewhere.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { parseCommand, type Command } from '../../src/cli/options.js'
import { readSocketVmnet, USAGE } from '../../src/compat/socket-vmnet-options.js'
import { checkChoice } from '../../src/service/definition.js'
import { ROOT } from '../helpers/root.js'
import { deadLinks } from './links.js'

const PAGE = readFileSync(join(ROOT, 'docs/migration.md'), 'utf8')

const blocks = [...PAGE.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text.replaceAll('\\\n', ' '))
const prose = PAGE.replaceAll(/^```.*?^```$/gms, '')
const spans = [...prose.matchAll(/`([^`]+)`/g)].map(([, text]) => text)

/** What follows the program's name, where the line starts it: `sudo`, its folder and redirections left away. */
function wordsOf(line: string, program: string): string[] | undefined {
  const [, rest] = new RegExp(`^(?:sudo )?(?:[\\w./-]*/)?${program}( .*)?$`).exec(line.trim()) ?? []
  if (rest === undefined) return undefined
  return rest
    .replace(/ [>|&].*$/, '')
    .split(' ')
    .filter(Boolean)
}

const commandsOf = (program: string) =>
  [...blocks.flatMap(text => text.split('\n')), ...spans]
    .map(line => ({ line, words: wordsOf(line, program) }))
    .filter((found): found is { line: string; words: string[] } => found.words !== undefined)

const load = async (name: string) =>
  ((await import(`../../src/cli/${name}.js`)) as { command: Command }).command

/** As macOS reads it; throws what the daemon would say. */
async function readDaemon(args: readonly string[]): Promise<void> {
  const parsed = parseCommand(await load('daemon'), args, {})
  if (parsed !== undefined) readDaemonSettings(parsed, 'darwin')
}

/** Throws where the command, its verb or one of its options is not there. */
async function readCommand([name, ...args]: readonly string[]): Promise<void> {
  if (name === 'daemon') return readDaemon(args)
  const command = await load(name)
  const { operands = [] } = parseCommand(command, args, {}) ?? {}
  const verbs = command.operands?.split(' ')[0]
  if (operands.length > 0 && verbs !== undefined && /^[a-z-]+(\|[a-z-]+)+$/.test(verbs)) {
    if (!verbs.split('|').includes(operands[0])) throw new Error(`${name} has no ${operands[0]}`)
  }
  if (name !== 'service' || operands[0] !== 'install') return
  const options = operands.slice(1)
  checkChoice({ prefix: '/opt/vmbridge', options }, 'darwin')
  await readDaemon(options)
}

t.test('every vmbridge command of the page is one', async t => {
  const commands = commandsOf('vmbridge')
  t.ok(commands.length > 25, `${commands.length} are found`)
  for (const { line, words } of commands) await t.resolves(readCommand(words), line)
})

t.test('every socket_vmnet command line of the page starts it', async t => {
  const commands = commandsOf('socket_vmnet').filter(({ words }) => words.length > 0)
  t.ok(commands.length >= 3, `${commands.length} are found`)
  for (const { line, words } of commands) {
    const { do: done } = readSocketVmnet(words)
    t.equal(done, words.includes('--version') ? 'print' : 'run', line)
  }
})

t.test(
  'every option that the page names for itself is one of the daemon, of `run` or of socket_vmnet',
  async t => {
    const known = [await load('daemon'), await load('run')].flatMap(({ options }) => Object.keys(options))
    const named = spans.flatMap(span => /^(?:-- )?--([a-z0-9-]+)/.exec(span)?.[1] ?? [])
    t.ok(named.length > 5, `${named.length} are found`)
    for (const name of named) t.ok(known.includes(name) || USAGE.includes(`--${name}`), `--${name}`)
  },
)

t.test('every link of the page leads somewhere', t => {
  t.ok(prose.includes(']('), 'there are some')
  t.same(deadLinks(prose), [])
  for (const [, number] of prose.matchAll(/\]\[(\d+)\]/g))
    t.match(prose, `\n[${number}]: https://github.com/lima-vm/socket_vmnet/issues/${number}\n`, `#${number}`)
  t.end()
})

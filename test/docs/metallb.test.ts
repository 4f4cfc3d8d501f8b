// docs/metallb-on-talos-mac.md is pasted into a terminal: every command of ours in it, in a block, a table or a sentence, is one
// that the program takes, and every link of the page leads somewhere.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readCluster } from '../../src/cli/cluster-options.js'
import type { CommandModule } from '../../src/cli/main.js'
import { parseCommand, type Command, type Parsed } from '../../src/cli/options.js'
import { VERBS } from '../../src/cli/talos.js'
import { swallowed, parseRoute } from '../../src/talos/route.js'
import { holdersOf, vipPool } from '../../src/talos/cluster.js'
import { patchOption } from '../../src/talos/manifests.js'
import { LAST_KNOWN } from '../../src/talos/version.js'
import { formatIpv4Range } from '../../src/wire/ipv4.js'
import { ROOT } from '../helpers/root.js'
import { deadLinks } from './links.js'

const PAGE = readFileSync(join(ROOT, 'docs/metallb-on-talos-mac.md'), 'utf8')

const blocks = [...PAGE.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text.replaceAll('\\\n', ' '))
const prose = PAGE.replaceAll(/^```.*?^```$/gms, '')
const spans = [...prose.matchAll(/`([^`]+)`/g)].map(([, text]) => text)

/** What follows `vmbridge` where the line starts it: sudo, its folder, comments, pipes and redirections left away. */
function wordsOf(line: string): string[] | undefined {
  const [, rest] = /^(?:sudo (?:-E )?)?(?:[\w./-]*\/)?vmbridge( .*)?$/.exec(line.trim()) ?? []
  return rest
    ?.replace(/ +[>|#].*$/, '')
    .split(' ')
    .filter(Boolean)
}

const commands = [...blocks.flatMap(text => text.split('\n')), ...spans]
  .map(line => ({ line, words: wordsOf(line) }))
  .filter((found): found is { line: string; words: string[] } => found.words !== undefined)

const load = (name: string) => import(`../../src/cli/${name}.js`) as Promise<CommandModule>

/** Throws where the command, its verb or one of its options is not there. */
async function read([name, ...args]: readonly string[]): Promise<{
  command: Command
  parsed: Parsed | undefined
}> {
  const [verb, ...rest] = args
  if (name === 'talos') {
    if (!Object.hasOwn(VERBS, verb)) throw new Error(`talos has no ${verb}`)
    const { command } = await VERBS[verb]()
    return { command, parsed: parseCommand(command, rest, {}) }
  }
  const { command } = await load(name)
  const parsed = parseCommand(command, args, {})
  const verbs = command.operands?.split(' ')[0].split('|') ?? []
  const [operand] = parsed?.operands ?? []
  if (name === 'service' && !verbs.includes(operand)) throw new Error(`service has no ${operand}`)
  return { command, parsed }
}

t.test('every vmbridge command of the page is one', async t => {
  t.ok(commands.length >= 20, `${commands.length} are found`)
  for (const { line, words } of commands) await t.resolves(read(words), line)
})

t.test('every verb of talos is on the page', async t => {
  const verbs = commands.filter(({ words }) => words[0] === 'talos').map(({ words }) => words[1])
  for (const verb of Object.keys(VERBS)) t.ok(verbs.includes(verb), verb)
})

const find = (what: RegExp) => commands.find(({ line }) => what.test(line))!

t.test('the addresses on the page are those of its plan', async t => {
  const { parsed } = await read(find(/talos plan .*--patch/).words)
  const cluster = readCluster(parsed!)
  for (const { ip } of holdersOf(cluster))
    t.match(PAGE, new RegExp(`^# .* ${formatIpv4Range({ first: ip, last: ip })}$`, 'm'))
  t.match(PAGE, `#   DHCP            ${formatIpv4Range(cluster.dhcp)}\n`)
  t.match(PAGE, `#   VIPs            ${formatIpv4Range(vipPool(cluster, 'auto'))}\n`)
  const pool = /--pool ([\d.-]+)/.exec(PAGE)?.[1]
  t.equal(formatIpv4Range(vipPool(cluster, pool!)), pool)
})

t.test('the cluster is created with the sizes of the plan, and the patch as talosctl takes it', async t => {
  const { words } = find(/talos run/)
  const sizes = find(/talos plan .*--patch/).words.slice(2, 6)
  t.strictSame(words.slice(words.indexOf('talosctl') + 4), [
    ...sizes,
    patchOption(LAST_KNOWN),
    '@talos-patch.yaml',
  ])
})

t.test('the routes of the page do what it says', async t => {
  const { words } = find(/route-check/)
  const { parsed } = await read(words)
  const holders = holdersOf(readCluster(parsed!))
  t.equal(swallowed(parseRoute(words[1]), holders).length, holders.length, 'all go')
  t.strictSame(swallowed(parseRoute('10.5.0.8/29'), holders), [])
  t.match(PAGE, '`10.5.0.8/29` swallows nobody')
})

t.test('every link of the page leads somewhere', async t => {
  t.ok(prose.includes(']('), 'there are some')
  t.same(deadLinks(prose), [])
})

// Command lines taken apart: what a flag, the environment and neither of them give, what is refused and how the
// refusal reads, and that `run` leaves the other program's words alone.

import t from 'tap'
import { environmentName, helpOf, parseCommand, type Command } from '../../src/cli/options.js'
import { UsageError } from '../../src/errors.js'

const COMMAND: Command = {
  name: 'sample',
  operands: 'NAME',
  summary: 'A command with one option of every kind.',
  options: {
    socket: { value: 'PATH', multiple: true, help: 'sockets' },
    'lease-time': { value: 'TIME', help: 'a time', fallback: '1h' },
    quiet: { help: 'a switch' },
  },
  examples: [['vmbridge sample --quiet', 'says nothing']],
}

const PASSTHROUGH: Command = { ...COMMAND, name: 'pass', operands: '[--] CMD', passthrough: true }

const parse = (args: readonly string[], env: NodeJS.ProcessEnv = {}, command = COMMAND) => {
  const parsed = parseCommand(command, args, env)
  if (parsed === undefined) throw new Error('help was not asked for')
  return parsed
}

const refusal = (args: readonly string[], command = COMMAND): UsageError => {
  try {
    parse(args, {}, command)
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
  throw new Error(`${args.join(' ')} was taken`)
}

t.test('a flag wins over the environment, the environment over nothing', async t => {
  const env = { VMBRIDGE_LEASE_TIME: '2h' }
  t.equal(parse(['--lease-time', '3h'], env).get('lease-time'), '3h')
  t.equal(parse(['--lease-time=3h'], env).get('lease-time'), '3h')
  t.equal(parse([], env).get('lease-time'), '2h')
  t.equal(parse([]).get('lease-time'), undefined)
  t.equal(parse([], { VMBRIDGE_LEASE_TIME: '' }).get('lease-time'), undefined, 'an empty variable is none')
})

t.test('the environment knows an option by its name in capitals', async t => {
  t.equal(environmentName('dhcp-range'), 'VMBRIDGE_DHCP_RANGE')
})

t.test('an option that may be repeated keeps its order', async t => {
  t.strictSame(parse(['--socket', '/a', '--socket=/b']).all('socket'), ['/a', '/b'])
  t.equal(parse(['--socket', '/a', '--socket', '/b']).get('socket'), '/a')
  t.strictSame(parse([]).all('socket'), [])
})

t.test('a comma separates values in the environment, where the option may be repeated', async t => {
  t.strictSame(parse([], { VMBRIDGE_SOCKET: '/a,/b' }).all('socket'), ['/a', '/b'])
  t.strictSame(parse(['--socket', '/a,b']).all('socket'), ['/a,b'], 'but not in a flag')
  t.strictSame(parse(['--socket', '/c'], { VMBRIDGE_SOCKET: '/a,/b' }).all('socket'), ['/c'])
  t.strictSame(parse([], { VMBRIDGE_LEASE_TIME: '1,2' }).all('lease-time'), ['1,2'])
})

t.test('another separator stands where values hold commas', async t => {
  const command: Command = {
    ...COMMAND,
    options: { rule: { value: 'A,B', multiple: true, separator: ';', help: 'rules' } },
  }
  t.strictSame(parse([], { VMBRIDGE_RULE: 'a,b;c,d' }, command).all('rule'), ['a,b', 'c,d'])
  t.strictSame(parse(['--rule', 'a;b'], {}, command).all('rule'), ['a;b'], 'but not in a flag')
})

t.test('a switch is on by its flag or by a yes in the environment', async t => {
  t.equal(parse(['--quiet']).has('quiet'), true)
  t.equal(parse([]).has('quiet'), false)
  for (const yes of ['1', 'true', 'yes']) t.equal(parse([], { VMBRIDGE_QUIET: yes }).has('quiet'), true, yes)
  for (const no of ['', '0', 'false', 'no'])
    t.equal(parse([], { VMBRIDGE_QUIET: no }).has('quiet'), false, no)
})

t.test('operands may stand before, between and behind the options', async t => {
  t.strictSame(parse(['a', '--quiet', 'b', '--lease-time', '1h']).operands, ['a', 'b'])
  t.strictSame(parse(['--', '--quiet']).operands, ['--quiet'], 'what follows -- is no option')
})

t.test('help is undefined, whatever else is given', async t => {
  for (const args of [['--help'], ['-h'], ['--quiet', '--help', 'x']])
    t.equal(parseCommand(COMMAND, args, {}), undefined)
})

t.test('what is refused is named, with the help to read', async t => {
  const cases: [args: string[], names: RegExp][] = [
    [['--nonsense'], /--nonsense/],
    [['-x'], /-x/],
    [['--lease-time'], /--lease-time/],
    [['--lease-time', '--quiet'], /--lease-time/],
    [['--quiet=1'], /--quiet/],
    [['--socket', '/a', '--socket'], /--socket/],
    [['--constructor'], /--constructor/],
    [['--no-quiet'], /--no-quiet/],
  ]
  for (const [args, names] of cases) {
    const error = refusal(args)
    t.match(error.message, names, args.join(' '))
    t.notMatch(error.message, /\n/, 'in one line')
    t.equal(error.hint, 'vmbridge sample --help')
    t.equal(error.code, 'ERR_USAGE')
  }
})

t.test("behind its first word, another program's command line is its own", async t => {
  const pass = (...args: string[]) => {
    const { all, has, operands } = parse(args, {}, PASSTHROUGH)
    return { sockets: all('socket'), quiet: has('quiet'), operands }
  }
  const cases: [args: string[], sockets: string[], quiet: boolean, operands: string[]][] = [
    [['--socket', 'X', '--', 'CMD', '--flag'], ['X'], false, ['CMD', '--flag']],
    [['--socket=X', 'CMD', '--flag'], ['X'], false, ['CMD', '--flag']],
    [['CMD', '--socket', 'y'], [], false, ['CMD', '--socket', 'y']],
    [['CMD', '--help'], [], false, ['CMD', '--help']],
    [['--quiet', 'CMD', '--quiet'], [], true, ['CMD', '--quiet']],
    [['CMD', '--', 'a'], [], false, ['CMD', '--', 'a']],
    [['--', 'CMD', '--', 'a'], [], false, ['CMD', '--', 'a']],
    [['--', '--CMD'], [], false, ['--CMD']],
    [['--', '--'], [], false, ['--']],
    [['-', 'a'], [], false, ['-', 'a']],
    [['--socket', 'X', '--socket', 'Y', 'CMD'], ['X', 'Y'], false, ['CMD']],
    [['--'], [], false, []],
    [[], [], false, []],
  ]
  for (const [args, sockets, quiet, operands] of cases)
    t.strictSame(pass(...args), { sockets, quiet, operands }, args.join(' '))
  t.equal(parseCommand(PASSTHROUGH, ['--help'], {}), undefined)
  t.match(refusal(['--flag', 'CMD'], PASSTHROUGH).message, /--flag/)
  t.match(refusal(['--socket'], PASSTHROUGH).message, /--socket/)
})

t.test(
  'the help lists every option with its value and default, the environment, and the examples',
  async t => {
    const help = helpOf(COMMAND)
    t.match(
      help,
      /^A command with one option of every kind\.\n\nusage: vmbridge sample \[OPTION\]\.\.\. NAME\n/,
    )
    t.match(help, /^ {2}--socket PATH\.\.\. +sockets$/m)
    t.match(help, /^ {2}--lease-time TIME +a time \(default: 1h\)$/m)
    t.match(help, /^ {2}--quiet +a switch$/m)
    t.match(help, /^ {2}-h, --help +show this help$/m)
    t.match(help, /VMBRIDGE_SOME_NAME/)
    t.match(help, /\nexamples:\n {2}vmbridge sample --quiet\n {6}says nothing\n$/)
  },
)

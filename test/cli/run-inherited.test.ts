// `vmbridge run` leaves no trace of itself in the program that it becomes. Every test here asks a program what it
// finds of its process, once started directly and once by `vmbridge run`, from the same state: signals, limits,
// environment, descriptors and their modes. Node changes most of these at its start.

import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { execute } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { scratch } from './command.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'perl'])
const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
const RUN = [VMBRIDGE, 'run', '--socket', daemon.socket, '--']

type Way = { name: string; prefix: readonly string[] }

/** Runs `argv` directly and through `vmbridge run`, both behind `state`; what the two said on stdout. */
async function bothWays(argv: readonly string[], state: readonly string[] = [], env = {}): Promise<string[]> {
  const ways: Way[] = [
    { name: 'directly', prefix: [] },
    { name: 'by vmbridge run', prefix: RUN },
  ]
  const said: string[] = []
  for (const { name, prefix } of ways) {
    const { status, stdout, stderr } = await execute([...state, ...prefix, ...argv], { env })
    if (status !== 0) throw new Error(`${name}: status ${status}: ${stderr}`)
    said.push(stdout)
  }
  return said
}

const signals = (status: string) => status.match(/^Sig(Blk|Ign|Cgt):.*$/gm)
const bit = (number: number) => (1n << BigInt(number - 1)).toString(16).padStart(16, '0')

t.test('signal dispositions and mask are as found', { skip }, async t => {
  const cases: [name: string, state: string[], expect: RegExp][] = [
    ['nothing special', [], /SigBlk:\s0{16}/],
    ['HUP ignored, as by nohup', ['env', '--ignore-signal=HUP'], new RegExp(`SigIgn:\\s${bit(1)}`)],
    ['PIPE ignored', ['env', '--ignore-signal=PIPE'], new RegExp(`SigIgn:\\s${bit(13)}`)],
    ['INT and QUIT ignored, as in the background', ['env', '--ignore-signal=INT,QUIT'], /SigIgn:\s0{14}06/],
    ['XFSZ and USR2 ignored', ['env', '--ignore-signal=XFSZ,USR2'], /SigIgn/],
    ['a real-time signal ignored', ['env', '--ignore-signal=RTMIN+3'], /SigIgn/],
    ['USR1 blocked', ['env', '--block-signal=USR1'], new RegExp(`SigBlk:\\s${bit(10)}`)],
    [
      'TERM and PIPE blocked, HUP ignored',
      ['env', '--block-signal=TERM,PIPE', '--ignore-signal=HUP'],
      new RegExp(`SigBlk:\\s${'0'.repeat(12)}5000`),
    ],
  ]
  for (const [name, state, expect] of cases) {
    const [direct, run] = (await bothWays(['cat', '/proc/self/status'], state)).map(signals)
    t.strictSame(run, direct, name)
    t.match(direct?.join('\n'), expect, 'and the state was what it should be')
  }
})

t.test('the limits are as found', { skip }, async t => {
  for (const limit of ['-Sn 123', '-n 300', '-Sc 0']) {
    const [direct, run] = await bothWays(
      ['cat', '/proc/self/limits'],
      ['sh', '-c', `ulimit ${limit}; exec "$@"`, 'sh'],
    )
    t.equal(run, direct, limit)
  }
})

t.test('umask, working folder, niceness and process group are as found', { skip }, async t => {
  const report = 'umask; pwd; cut -d" " -f5,6,18,19 </proc/$$/stat | tr " " "\\n" | tail -n 2; nice'
  const [direct, run] = await bothWays(
    ['sh', '-c', report],
    ['sh', '-c', 'umask 027; exec nice -n 3 "$@"', 'sh'],
  )
  t.equal(run, direct)
})

t.test('the environment is as found', { skip }, async t => {
  const variables = (text: string) => text.split('\0').filter(Boolean).sort()
  const cases: [name: string, state: string[]][] = [
    ['as it is', []],
    ['with an empty value, a newline, an equals sign', ['env', 'EMPTY=', 'LINES_=a\nb', 'EQUALS=a=b']],
    // bin/vmbridge is a shell script: its own variables must not meet the user's.
    ["with the names of a script's variables", ['env', 'n=1', 's=2', 'l=3', 'i=4', 'node=5', 'script=6']],
    ['with NODE_OPTIONS', ['env', 'NODE_OPTIONS=--no-warnings']],
    ['with next to nothing', ['env', '-i', `PATH=${process.env['PATH']}`, `PWD=${process.cwd()}`]],
  ]
  for (const [name, state] of cases) {
    const [direct, run] = await bothWays(['cat', '/proc/self/environ'], state)
    t.strictSame(variables(run), variables(direct), name)
    t.notMatch(run, /VMBRIDGE_INHERITED/)
  }
})

t.test('a variable that is not UTF-8 is as found', { skip }, async t => {
  const state = ['perl', '-e', '$ENV{LATIN} = "caf\\xe9"; exec @ARGV']
  const [direct, run] = await bothWays(['sh', '-c', 'printf %s "$LATIN" | od -An -tx1'], state)
  t.match(direct, /63 61 66 e9/)
  t.equal(run, direct)
})

t.test('an argument that is not UTF-8 is as given', { skip }, async t => {
  const state = ['perl', '-e', 'exec @ARGV, "caf\\xe9"']
  const [direct, run] = await bothWays(['sh', '-c', 'printf %s "$1" | od -An -tx1', 'sh'], state)
  t.match(direct, /63 61 66 e9/)
  t.equal(run, direct)
})

/** The open descriptors of a program, with what they are, written to a file that is opened last. */
const LIST = [
  'perl',
  '-e',
  'my @l = grep { -l "/proc/self/fd/$_" } 0 .. 400; my %t = map { $_ => readlink "/proc/self/fd/$_" } @l;' +
    'open my $o, ">", $ARGV[0]; print $o "$_ $t{$_}\n" for @l',
]
const numbers = (text: string) => text.split('\n').flatMap(line => line.split(' ')[0] || [])

/** What descriptors are there, directly and by `vmbridge run`, behind redirections of the shell. */
async function descriptors(t: Test, redirected: string): Promise<string[]> {
  const said: string[] = []
  for (const prefix of [[], RUN]) {
    const out = join(scratch(t), 'list')
    await execute(['sh', '-c', `exec "$@" ${redirected}`, 'sh', ...prefix, ...LIST, out])
    said.push(readFileSync(out, 'utf8'))
  }
  return said
}

t.test('inherited descriptors arrive open, none of ours leaks', { skip }, async t => {
  for (const opened of ['', '5</dev/null', '3</dev/null', '4</dev/zero 7</dev/null 9</dev/full']) {
    const [direct, run] = await descriptors(t, opened)
    // Whoever runs this test may have left descriptors open as well: they are found directly, too.
    const expect = [...new Set([...numbers(direct), '3'])].sort((a, b) => Number(a) - Number(b))
    t.strictSame(numbers(run), expect, opened || 'nothing more')
    t.match(run, /^3 socket:/m)
    if (opened.includes('7<')) t.match(run, /^4 \/dev\/zero\n7 \/dev\/null\n9 \/dev\/full$/m)
  }
})

t.test('descriptors with high numbers arrive open', { skip }, async t => {
  const state = [
    'perl',
    '-e',
    'use POSIX; open my $f, "<", "/dev/null"; POSIX::dup2(fileno $f, $_) for 20, 63, 180, 300; exec @ARGV',
  ]
  const out = join(scratch(t), 'list')
  await execute([...state, ...RUN, ...LIST, out])
  const found = numbers(readFileSync(out, 'utf8'))
  for (const number of ['20', '63', '180', '300']) t.ok(found.includes(number), number)
})

t.test('descriptors 0, 1 and 2 that are closed stay closed', { skip }, async t => {
  for (const closed of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-']) {
    const [direct, run] = await descriptors(t, closed)
    t.strictSame(
      numbers(run).filter(each => each !== '3'),
      numbers(direct).filter(each => each !== '3'),
      closed,
    )
    t.match(run, /^3 socket:/m)
  }
})

/** Prints whether descriptors 0, 1 and 2 are non-blocking, to descriptor 5. */
const FLAGS = [
  'perl',
  '-e',
  'use Fcntl; open my $out, ">&=", 5;' +
    'print $out join ",", map { fcntl($_, F_GETFL, 0) & O_NONBLOCK ? "n" : "b" } STDIN, STDOUT, STDERR',
]
const NON_BLOCKING = 0o4000

type Stdio = 'pipe' | number

/** Whether 0, 1 and 2 block (b) or do not (n) for a program by `vmbridge run`, which has these, behind `state`. */
async function flagsOf(t: Test, stdio: readonly [Stdio, Stdio, Stdio], state: readonly string[] = []) {
  const path = join(scratch(t), 'flags')
  const out = openSync(path, 'w')
  const [file, ...args] = [...state, ...RUN, ...FLAGS]
  const child = spawn(file, args, { stdio: [...stdio, 'ignore', 'ignore', out] })
  const status = await new Promise(resolve => child.on('close', resolve))
  closeSync(out)
  t.equal(status, 0)
  return readFileSync(path, 'utf8')
}

t.test('descriptors 0, 1 and 2 block as they did: sockets, pipes and files', { skip }, async t => {
  t.strictSame(await flagsOf(t, ['pipe', 'pipe', 'pipe']), 'b,b,b', 'what Node gives its children')
  const file = join(scratch(t), 'file')
  writeFileSync(file, '')
  const fd = openSync(file, 'r+')
  t.teardown(() => closeSync(fd))
  t.strictSame(await flagsOf(t, [fd, fd, fd]), 'b,b,b', 'files')
  const piped = ['sh', '-c', ': | { "$@" 2>&1 | cat; }', 'sh']
  t.strictSame(await flagsOf(t, ['pipe', 'pipe', 'pipe'], piped), 'b,b,b', 'pipes')
})

t.test('descriptors 0, 1 and 2 that did not block stay so', { skip }, async t => {
  const turn = 'use Fcntl; fcntl $_, F_SETFL, O_NONBLOCK | fcntl $_, F_GETFL, 0 for (STDIN, STDOUT, STDERR)'
  for (const number of [0, 1, 2]) {
    // Three pipes, each with an open file description of its own.
    const piped = ['sh', '-c', '{ : | { "$@" | cat; } } 2>&1 | cat', 'sh']
    const state = ['perl', '-e', `${turn}[${number}]; exec @ARGV`]
    const expect = [0, 1, 2].map(each => (each === number ? 'n' : 'b')).join()
    t.strictSame(
      await flagsOf(t, ['pipe', 'pipe', 'pipe'], [...piped, ...state]),
      expect,
      `descriptor ${number}`,
    )
  }
})

t.test('descriptor 3 blocks even where a non-blocking one was in its place', { skip }, async t => {
  const state = 'use POSIX; use Fcntl; pipe my $r, my $w; POSIX::dup2(fileno $r, 3); open my $f, "<&=", 3;'
  const argv = ['perl', '-e', `${state} fcntl $f, F_SETFL, O_NONBLOCK; fcntl $f, F_SETFD, 0; exec @ARGV`]
  const { stdout } = await execute([...argv, ...RUN, 'cat', '/proc/self/fdinfo/3'])
  const flags = parseInt(/^flags:\s+(\d+)$/m.exec(stdout)?.[1] ?? 'none', 8)
  t.equal(flags & NON_BLOCKING, 0, stdout)
})

t.test(
  'a terminal blocks as it did, for the program and after it',
  { skip: requires(['linux', 'script']) },
  async t => {
    const report = 'for n in 0 1 2; do sed -n "s/^flags:/flags/p" /proc/$$/fdinfo/$n; done; tty; stty -a'
    const script = join(scratch(t), 'report')
    writeFileSync(script, report)
    const inTerminal = async (command: string) =>
      (await execute(['script', '-qec', command, '/dev/null'], { env: { SHELL: '/bin/sh' } })).stdout
    const run = RUN.map(word => `'${word}'`).join(' ')
    // The terminals differ, the rest must not.
    const known = (text: string) => text.replace(/\/dev\/pts\/\d+/, 'a terminal')
    const direct = known(await inTerminal(`sh ${script}`))
    t.match(direct, /a terminal/)
    t.match(direct, /^flags\s+0\d+/m)
    t.equal(known(await inTerminal(`${run} sh ${script}`)), direct, 'the program')
    t.equal(known(await inTerminal(`${run} true; sh ${script}`)), direct, 'what comes after it')
    t.equal(
      known(await inTerminal(`${run} no-such-program 2>/dev/null; sh ${script}`)),
      direct,
      'and after a failure',
    )
  },
)

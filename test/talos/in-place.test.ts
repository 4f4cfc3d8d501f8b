// A stand-in becomes QEMU in place: what talosctl gave it QEMU finds, and nothing more.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { NETDEV, nodeLine, record } from './lines.js'
import { environmentOf, inPlace, place, QEMU_ENDED, seenBy, startStandIn, type Place } from './place.js'
import { FakeDaemon } from './stand-in-daemon.js'

t.setTimeout(600_000)

const skip = requires(['linux', 'cc', 'perl', 'unshare', 'prlimit'])

async function lab(t: Test): Promise<Place> {
  const where = await place(t)
  await new FakeDaemon(t, where.control).start()
  writeFileSync(join(where.state, 'ipam.db'), record())
  return where
}

const standIn = ({ standIns }: Place): string => join(standIns, 'qemu-system-aarch64')
const said = ({ out }: Place, name: string): string => readFileSync(join(out, name), 'latin1')
const field = (status: string, name: string): string =>
  new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? 'none'

/** Starts a stand-in behind a command that sets the stage and execs. */
async function start(
  where: Place,
  stage: readonly string[],
  args: readonly string[],
  program = standIn(where),
): Promise<Child> {
  const child = Child.launch(inPlace(where, [...stage, program, ...args]), {
    env: environmentOf(where),
  })
  t.equal((await child.exited).code, QEMU_ENDED, child.text())
  return child
}

const OPENS_9 = ['sh', '-c', 'exec 9</dev/null "$0" "$@"']
const OPENS_3 = ['sh', '-c', 'exec 3</dev/null "$0" "$@"']

const LINES: [string, (where: Place) => string[]][] = [
  ['a node', ({ state }) => nodeLine({ talosctl: '1.14', state })],
  ['what comes through untouched', () => ['-nographic']],
]

for (const [what, line] of LINES) {
  t.test(`${what}: the PID, and argv[0] is the real QEMU`, { skip }, async t => {
    const where = await lab(t)
    const child = await start(where, [], line(where))
    t.equal(field(said(where, 'status'), 'Pid'), String(child.pid))
    t.equal(seenBy(where)?.[0], join(where.bin, 'qemu-system-aarch64'))
  })

  t.test(`${what}: descriptors 0, 1 and 2, those that were open, and nothing on 3`, { skip }, async t => {
    const where = await lab(t)
    // The test's own may have been handed on: QEMU without a stand-in tells which.
    for (const stage of [[], OPENS_9, OPENS_3]) {
      await start(where, stage, line(where), join(where.bin, 'qemu-system-aarch64'))
      const direct = said(where, 'fd')
      await start(where, stage, line(where))
      t.equal(said(where, 'fd'), direct)
      t.equal(direct.split(' ').includes('3'), stage === OPENS_3)
    }
  })

  t.test(`${what}: the signals that are blocked or ignored`, { skip }, async t => {
    const where = await lab(t)
    const stage = [
      'perl',
      '-e',
      'use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR1)); $SIG{HUP} = "IGNORE"; exec @ARGV',
    ]
    await start(where, stage, line(where))
    const status = said(where, 'status')
    t.equal(BigInt(`0x${field(status, 'SigBlk')}`), 1n << 9n)
    t.equal(BigInt(`0x${field(status, 'SigIgn')}`), 1n)
    await start(where, [], line(where))
    t.equal(BigInt(`0x${field(said(where, 'status'), 'SigBlk')}`), 0n)
  })

  t.test(`${what}: limits`, { skip }, async t => {
    const where = await lab(t)
    await start(where, ['prlimit', '--nofile=333:4444', '--core=0'], line(where))
    t.match(said(where, 'limits'), /^Max open files +333 +4444 /m)
  })

  t.test(`${what}: the environment, with what Node would obey`, { skip }, async t => {
    const where = await lab(t)
    const more = [
      'NODE_OPTIONS=--require=/nonexistent.js',
      'NODE_PATH=/nonexistent',
      'OPENSSL_CONF=/nonexistent',
      'LD_BIND_NOW=1',
      'VMBRIDGE_PREBUILD=/nonexistent',
      'VMBRIDGE_KEPT_LD_PRELOAD=/nonexistent',
      'ZULETZT=\u00fc',
    ]
    const own = Object.entries(environmentOf(where)).map(([name, value]) => `${name}=${value}`)
    const given = [...own.slice(0, 2), ...more, ...own.slice(2)]
    await start(where, ['env', '-i', ...given], line(where))
    const found = Buffer.from(said(where, 'environ'), 'latin1').toString().split('\0').slice(0, -1)
    t.strictSame(found, given)
  })
}

t.test('an empty environment will do', { skip }, async t => {
  const where = await place(t)
  // Without PATH there is no QEMU: it is said, and that is all that goes wrong.
  const empty = await execute(inPlace(where, ['env', '-i', standIn(where), '-version']))
  t.equal(empty.status, 1)
  t.match(
    empty.stderr,
    /^qemu-system-aarch64: there is no real qemu-system-aarch64 in PATH \(\) \(try: [^\n]*\n$/,
  )
  const real = join(where.bin, 'qemu-system-aarch64')
  const settings = {
    format: 1,
    name: 'vmbridge talos',
    dhcp: 'answer',
    qemu: { 'qemu-system-aarch64': real },
  }
  writeFileSync(join(where.standIns, 'settings.json'), JSON.stringify(settings))
  const configured = await execute(inPlace(where, ['env', '-i', standIn(where), '-version']))
  t.equal(configured.stdout, 'QEMU emulator version 10.0.2 (made for a test)\n')
})

t.test('every byte outside of the netdev is kept', { skip }, async t => {
  const where = await lab(t)
  const stream =
    'stream,id=net0,server=off,addr.type=unix,addr.path=/run/vmbridge/networks/10.5.0.1-24/vm.sock,reconnect-ms=1000'
  // Any bytes but NUL, and words that the stand-in looks for.
  const bytes = fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength: 40 })
    .map(codes => String.fromCharCode(...codes))
  const words = fc.constantFrom(
    '',
    '-device',
    '-monitor',
    '--monitor',
    'unix:',
    'unix:/a/b,,c',
    ',',
    ',,,',
    'id=',
  )
  const others = fc.array(fc.oneof(bytes, words), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(others, others, async (before, after) => {
      const child = startStandIn(where, [...before, '-netdev', NETDEV, ...after])
      await child.exited
      t.strictSame(seenBy(where)?.slice(1), [...before, '-netdev', stream, ...after], child.text())
    }),
    { numRuns: 40 },
  )
})

t.test('20 starts of one node leave nothing behind', { skip }, async t => {
  const where = await place(t)
  const daemon = await new FakeDaemon(t, where.control).start()
  writeFileSync(join(where.state, 'ipam.db'), record())
  const line = nodeLine({ talosctl: '1.14', state: where.state })
  const files = (): string[] =>
    readdirSync(where.prefix, { recursive: true }).map(String).filter(isOfTest).sort()
  const isOfTest = (path: string): boolean => !/^(dist|build|node_modules)\//.test(path)
  await start(where, [], line)
  const before = files()
  for (let i = 0; i < 20; i++) await start(where, [], line)
  t.strictSame(files(), before)
  t.strictSame([daemon.networks.size, daemon.reservations.get('10.5.0.1-24')?.length], [1, 1])
  const running = (await execute(['ps', '-eo', 'args'])).stdout
  t.notMatch(running, where.prefix, 'no process')
})

// `vmbridge run`: the program stands where the command stood, with a port of the switch on descriptor 3. What the
// program finds of its descriptors, signals and environment is in run-inherited.test.ts.

import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { Child, execute } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { ROOT, VMBRIDGE } from '../helpers/root.js'
import { BROADCAST, framed, Station, textFrame } from '../daemon/station.js'
import { scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
const RUN = ['run', '--socket', daemon.socket, '--']
/** Bytes as a shell's printf writes them. */
const octal = (bytes: Uint8Array) => [...bytes].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('')

t.test('the program has the PID of the command', async t => {
  const script = `echo $$; exec "${VMBRIDGE}" ${RUN.join(' ')} sh -c 'echo $$'`
  const { stdout } = await execute(['sh', '-c', script])
  const [before, after] = stdout.trim().split('\n')
  t.match(before, /^\d+$/)
  t.equal(after, before)
})

t.test('the exit status of the program passes through', async t => {
  for (const status of [0, 3, 255])
    t.equal((await vmbridge([...RUN, 'sh', '-c', `exit ${status}`])).status, status)
})

t.test("the program's death by a signal passes through", async t => {
  for (const signal of ['TERM', 'KILL', 'PIPE', 'HUP']) {
    const child = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', `kill -${signal} $$`])
    t.strictSame(await child.exited, { code: null, signal: `SIG${signal}` })
  }
})

t.test('a signal to the PID of the command reaches the program', async t => {
  const script = 'trap "echo ended; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
  const child = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', script])
  await child.waitForLine(/^ready$/)
  child.kill('SIGTERM')
  await child.waitForLine(/^ended$/)
  t.equal((await child.exited).code, 5)
})

t.test(
  'descriptor 3 is a connected stream socket in blocking mode',
  { skip: requires(['linux']) },
  async t => {
    const flags = await vmbridge([...RUN, 'cat', '/proc/self/fdinfo/3'])
    t.equal(parseInt(/^flags:\s+(\d+)$/m.exec(flags.stdout)?.[1] ?? '', 8) & 0o4000, 0, 'O_NONBLOCK is off')
    const link = await vmbridge([...RUN, 'readlink', '/proc/self/fd/3'])
    const inode = /^socket:\[(\d+)\]$/m.exec(link.stdout)?.[1]
    t.ok(inode, link.stdout)
  },
)

t.test('descriptor 3 carries frames both ways', async t => {
  const peer = await Station.plug(t, daemon)
  const question = textFrame(BROADCAST, A, 'from the program')
  const answer = textFrame(A, B, 'to the program')
  // `head` reads until it has as many bytes as it wants, and would fail on a descriptor that does not block.
  const script = `printf '${octal(framed(question))}' >&3; head -c ${framed(answer).length} <&3`
  const child = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', script])
  t.strictSame(await peer.receive('from the program'), question)
  peer.send(answer)
  await child.waitForLine(/to the program/)
  t.equal((await child.exited).code, 0)
})

t.test('the port is the peer of the program, and goes with it', async t => {
  const child = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', 'echo up; exec sleep 60'])
  await child.waitForLine(/^up$/)
  const up = (await daemon.status()).networks[0].ports.find(port => port.peer?.pid === child.pid)
  t.equal(up?.role, 'vm')
  await child.close()
  await daemon.waitForLog(entry => entry.event === 'port.down' && entry['pid'] === child.pid)
  const { ports } = (await daemon.status()).networks[0]
  t.notOk(ports.some(port => port.peer?.pid === child.pid))
})

t.test('VMBRIDGE_SOCKET names the socket', async t => {
  const { stdout } = await vmbridge(['run', 'echo', 'hello'], { env: { VMBRIDGE_SOCKET: daemon.socket } })
  t.equal(stdout, 'hello\n')
})

t.test('the first of VMBRIDGE_SOCKET counts where a daemon has two', async t => {
  const env = { VMBRIDGE_SOCKET: `${daemon.socket},/nonexistent` }
  const { stdout, stderr } = await vmbridge(['run', 'echo', 'hello'], { env })
  t.equal(stdout, 'hello\n', stderr)
})

t.test('without a daemon: status 1 and the command that starts one', async t => {
  const folder = scratch(t)
  const socket = join(folder, 'a b')
  const asked = await vmbridge(['run', '--socket', socket, '--', 'true'])
  t.equal(asked.status, 1)
  t.equal(asked.stdout, '')
  t.ok(asked.stderr.startsWith(`vmbridge: no daemon answers at ${socket}`), asked.stderr)
  t.match(asked.stderr, /\n {2}try: vmbridge daemon --socket /)
  // The hint can be pasted: the shell takes the path as one word.
  const hint = /try: (.*)/.exec(asked.stderr)?.[1] ?? ''
  const { stdout } = await execute(['sh', '-c', `set -- ${hint}; printf '%s\\n' "$4"`])
  t.equal(stdout, `${socket}\n`, hint)
})

t.test('a program that is not there is 127, one that cannot be run is 126', async t => {
  const folder = scratch(t)
  const plain = join(folder, 'plain')
  writeFileSync(plain, 'no program')
  chmodSync(plain, 0o644)
  const cases: [file: string, status: number][] = [
    ['no-such-program', 127],
    [join(folder, 'nothing'), 127],
    [plain, 126],
    [folder, 126],
  ]
  for (const [file, status] of cases) {
    const asked = await vmbridge([...RUN, file])
    t.equal(asked.status, status, file)
    t.match(asked.stderr, /^vmbridge: cannot start [^\n]+\n$/, 'in one line')
    t.ok(asked.stderr.includes(file), 'that names it')
  }
})

t.test('the program and its arguments keep their spaces, quotes and characters', async t => {
  const folder = scratch(t)
  const file = join(folder, 'a program')
  writeFileSync(file, '#!/bin/sh\nprintf "<%s>" "$0" "$@"\n')
  chmodSync(file, 0o755)
  const args = ['two words', '', "it's", '"', '$HOME', '*', '\\', 'ä€𐍈', '--socket', '-h', 'a\nb']
  const { stdout } = await vmbridge([...RUN, file, ...args])
  t.equal(stdout, [file, ...args].map(word => `<${word}>`).join('') + '\n')
})

t.test('the program is found in PATH, and told its name as given', async t => {
  const folder = scratch(t)
  const file = join(folder, 'found-in-path')
  writeFileSync(file, '#!/bin/sh\necho found\n')
  chmodSync(file, 0o755)
  const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}` }
  t.equal((await vmbridge([...RUN, 'found-in-path'], { env })).stdout, 'found\n')
  if (process.platform !== 'linux') return
  t.equal(
    (await vmbridge([...RUN, 'sh', '-c', 'cat /proc/$$/cmdline'])).stdout,
    'sh\0-c\0cat /proc/$$/cmdline\0\n',
  )
})

t.test(
  'the command works through a symbolic link, from another folder, and in a path with spaces',
  async t => {
    const folder = join(scratch(t), 'another folder')
    mkdirSync(folder)
    const link = join(folder, 'v m')
    symlinkSync(VMBRIDGE, link)
    const linked = await execute([link, ...RUN, 'pwd'], { cwd: folder })
    t.equal(linked.stdout, `${folder}\n`, linked.stderr)
    t.equal(linked.status, 0)
    const relative = await execute(['./v m', ...RUN, 'echo', 'hello'], { cwd: folder })
    t.equal(relative.stdout, 'hello\n', relative.stderr)
    symlinkSync(ROOT, join(folder, 'the tree'))
    const inTree = await execute([join(folder, 'the tree/bin/vmbridge'), ...RUN, 'echo', 'hello'])
    t.equal(inTree.stdout, 'hello\n', inTree.stderr)
    symlinkSync(VMBRIDGE, join(folder, 'vmbridge'))
    const env = { PATH: `${folder}:${process.env['PATH'] ?? dirname(process.execPath)}` }
    const searched = await execute(['vmbridge', ...RUN, 'echo', 'hello'], { env, cwd: '/' })
    t.equal(searched.stdout, 'hello\n', searched.stderr)
  },
)

t.test('VMBRIDGE_NODE is the Node that runs the command', async t => {
  const folder = scratch(t)
  const node = join(folder, 'my node')
  writeFileSync(node, `#!/bin/sh\necho my node >&2\nexec "${process.execPath}" "$@"\n`)
  chmodSync(node, 0o755)
  const asked = await vmbridge(['--version'], { env: { VMBRIDGE_NODE: node } })
  t.equal(asked.status, 0)
  t.equal(asked.stderr, 'my node\n')
  const none = await vmbridge(['--version'], { env: { VMBRIDGE_NODE: '/nonexistent/node' } })
  t.equal(none.status, 127)
  t.match(none.stderr, /\/nonexistent\/node/)
})

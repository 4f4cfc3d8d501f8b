// `vmbridge run --dgram`: descriptor 3 is one end of a pair of datagram sockets, whose other end the daemon has been given.

import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { BROADCAST, Station, textFrame } from '../daemon/station.js'
import { Child, execute } from '../helpers/child.js'
import { startDaemon } from '../helpers/daemon.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

const skip = requires(['linux', 'python3'])
const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

const daemon = await startDaemon(t, { args: ['--uplink', 'none', '--no-dhcp'] })
const RUN = ['run', '--dgram', '--socket', daemon.socket, '--']

const SPEAKS = `
import os, socket
s = socket.socket(fileno=3)
assert s.family == socket.AF_UNIX and s.type == socket.SOCK_DGRAM, s
assert os.get_blocking(3)
s.send(bytes.fromhex('%s'))
print(s.recv(65536).hex(), flush=True)
`

t.test(
  'descriptor 3 is a blocking datagram socket, and carries a frame a datagram both ways',
  { skip },
  async t => {
    const peer = await Station.plug(t, daemon)
    const question = textFrame(BROADCAST, A, 'from the program')
    const answer = textFrame(A, B, 'to the program')
    const script = SPEAKS.replace('%s', question.toString('hex'))
    const child = Child.launch([VMBRIDGE, ...RUN, 'python3', '-c', script])
    t.teardown(() => child.close())
    t.strictSame(await peer.receive('from the program'), question)
    peer.send(answer)
    t.equal(await child.waitForLine(/./), answer.toString('hex'))
    t.equal((await child.exited).code, 0)
  },
)

t.test(
  'the program has the PID of the command, and its exit status and signals pass through',
  { skip },
  async t => {
    const script = `echo $$; exec "${VMBRIDGE}" ${RUN.join(' ')} sh -c 'echo $$; exit 5'`
    const { stdout, status } = await execute(['sh', '-c', script])
    const [before, after] = stdout.trim().split('\n')
    t.match(before, /^\d+$/)
    t.equal(after, before)
    t.equal(status, 5)
    const killed = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', 'kill -TERM $$'])
    t.strictSame(await killed.exited, { code: null, signal: 'SIGTERM' })
  },
)

t.test('a program that is not there is 127', { skip }, async t => {
  t.equal((await vmbridge([...RUN, 'no-such-program'])).status, 127)
})

const portOf = async (pid: number) =>
  (await daemon.status()).networks[0].ports.find(({ peer }) => peer?.pid === pid)

t.test(
  'the port has the PID of the program, and goes when the program ends on a silent segment',
  { skip },
  async t => {
    const child = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', 'echo up; exec sleep 60'])
    t.teardown(() => child.close())
    await child.waitForLine(/^up$/)
    t.equal((await portOf(child.pid))?.role, 'vm')
    await child.close()
    const { reason } = await daemon.waitForLog(
      ({ event, pid, reason }) => event === 'port.down' && pid === child.pid && reason !== 'datagrams',
      30_000,
    )
    t.equal(reason, 'gone')
  },
)

t.test(
  'the port stays for a process that has inherited the descriptor, and goes with that',
  { skip },
  async t => {
    // In a session of its own it is not ended with the program.
    const heirs = "setsid sh -c 'echo $$; exec sleep 300 >/dev/null 2>&1' & exec sleep 300"
    const child = Child.launch([VMBRIDGE, ...RUN, 'sh', '-c', heirs])
    const heir = Number(await child.waitForLine(/^\d+$/))
    let isAlive = true
    t.teardown(() => isAlive && process.kill(heir, 'SIGKILL'))
    await child.close()
    // Once the program is gone the port is sent a frame for nobody now and then, which shows whether somebody is there.
    let port = await portOf(child.pid)
    while (port !== undefined && port.tx.frames < 2) port = await portOf(child.pid)
    t.ok(port, 'it is there after two looks')
    process.kill(heir, 'SIGKILL')
    isAlive = false
    await daemon.waitForLog(
      ({ event, pid, reason }) => event === 'port.down' && pid === child.pid && reason !== 'datagrams',
      30_000,
    )
  },
)

for (const [what, answer] of [
  ['closes', socket => socket.end()],
  ['hangs up at once', undefined],
  ['says something else and closes', socket => socket.end('DGRX')],
  ['says half of it and closes', socket => socket.end('DGR')],
  ['says it and more, and closes', socket => socket.end('DGRMx')],
] as const satisfies readonly (readonly [string, ((socket: Socket) => unknown) | undefined])[]) {
  t.test(`against a server that ${what}: status 1, and what to do`, { skip }, async t => {
    const path = join(scratch(t), 's')
    const server = createServer(socket => {
      socket.on('error', () => {})
      if (answer === undefined) socket.destroy()
      else socket.once('data', () => answer(socket))
    })
    await new Promise<void>(resolve => server.listen(path, resolve))
    t.teardown(() => server.close())
    const asked = await vmbridge(['run', '--dgram', '--socket', path, '--', 'echo', 'started'])
    t.equal(asked.status, 1)
    t.equal(asked.stdout, '', 'the program is not started')
    t.ok(asked.stderr.startsWith(`vmbridge: what answers at ${path} gives no datagram sockets`), asked.stderr)
    t.match(asked.stderr, /try: leave --dgram out/)
  })
}

t.test('without a daemon: status 1 and the command that starts one', { skip }, async t => {
  const socket = join(scratch(t), 's')
  const asked = await vmbridge(['run', '--dgram', '--socket', socket, '--', 'true'])
  t.equal(asked.status, 1)
  t.match(asked.stderr, /no daemon answers at .*\n {2}try: vmbridge daemon --socket /)
})

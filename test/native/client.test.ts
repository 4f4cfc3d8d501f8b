// socket_vmnet_client: the program stands where the client stood, with a connected socket on the lowest descriptor
// that was free, and the client leaves no other trace. Held against a plain server, since what it connects to is not
// its matter.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { NOBODY, scratch } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'

t.setTimeout(600_000)

const CLIENT = join(ROOT, 'build/Release/socket_vmnet_client')

const folder = scratch(t)
const path = join(folder, 's')
const server = createServer({ allowHalfOpen: true }).listen(path)
await once(server, 'listening')
t.teardown(() => server.close())

/** The next connection, with all that comes on it until its end. */
async function nextPeer(): Promise<{ socket: Socket; received: Promise<string> }> {
  const [socket] = (await once(server, 'connection')) as [Socket]
  let text = ''
  socket.setEncoding('utf8').on('data', chunk => (text += String(chunk)))
  const received = once(socket, 'end').then(() => {
    socket.destroy()
    return text
  })
  return { socket, received }
}

/** Runs the client to its end, and says what came on its connection too. */
async function runClient(args: readonly string[], at = path) {
  const peer = nextPeer()
  const outcome = await execute([CLIENT, at, ...args])
  return { ...outcome, received: await (await peer).received }
}

t.test('the program has the PID of the client', async t => {
  const peer = nextPeer()
  const script = 'echo $$; exec "$0" "$1" sh -c "echo \\$\\$"'
  const { stdout } = await execute(['sh', '-c', script, CLIENT, path])
  const [before, after] = stdout.trim().split('\n')
  t.match(before, /^\d+$/)
  t.equal(after, before)
  await (
    await peer
  ).received
})

t.test('descriptor 3 carries bytes both ways, and to what the program starts', async t => {
  const peer = nextPeer()
  const script = 'printf question >&3; head -c 6 <&3; true'
  const child = Child.launch([CLIENT, path, 'sh', '-c', `sh -c '${script}'; true`])
  const { socket, received } = await peer
  socket.write('answer')
  t.equal((await child.exited).code, 0)
  t.equal(child.text(1).trim(), 'answer')
  t.equal(child.text(2), '', 'and not a word of the client')
  t.equal(await received, 'question')
})

t.test('the socket is on the lowest descriptor that was free', async t => {
  const cases: [closed: string, descriptor: number][] = [
    ['', 3],
    ['0<&-', 0],
    ['1>&-', 1],
    ['2>&-', 2],
    ['0<&- 1>&- 2>&-', 0],
    ['1>&- 2>&-', 1],
    ['3</dev/null', 4],
  ]
  for (const [closed, descriptor] of cases) {
    const peer = nextPeer()
    const script = `exec "$0" "$1" sh -c 'printf here >&${descriptor}' ${closed}`
    await execute(['sh', '-c', script, CLIENT, path])
    t.equal(await (await peer).received, 'here', `${closed || 'none'} closed`)
  }
})

t.test('no second descriptor of the socket is left', { skip: requires(['linux']) }, async t => {
  const script = 'for n in 3 4 5 6 7 8 9; do test ! -e /proc/$$/fd/$n || echo $n; done'
  t.equal((await runClient(['sh', '-c', script])).stdout, '3\n')
})

t.test('the exit status passes through, and death by a signal', async t => {
  for (const status of [0, 3, 255]) {
    t.equal((await runClient(['sh', '-c', `exit ${status}`])).status, status)
  }
  const peer = nextPeer()
  const child = Child.launch([CLIENT, path, 'sh', '-c', 'kill -TERM $$'])
  t.strictSame(await child.exited, { code: null, signal: 'SIGTERM' })
  await (
    await peer
  ).received
})

t.test('"--" before the program is left out, once, and no argument is read', async t => {
  const show = ['printf', '[%s]', '-x', '--', '', 'a b']
  for (const args of [show, ['--', ...show]]) {
    const { status, stdout, stderr } = await runClient(args)
    t.strictSame({ status, stdout, stderr }, { status: 0, stdout: '[-x][--][][a b]\n', stderr: '' })
  }
  t.match(await runClient(['--', '--', 'true']), { status: 1, stderr: /^Failed to exec "--": / })
})

t.test('it says nothing, whatever DEBUG is', async t => {
  const peer = nextPeer()
  const outcome = await execute([CLIENT, path, 'true'], { env: { DEBUG: '1' } })
  t.strictSame(outcome, { status: 0, stdout: '', stderr: '' })
  t.equal(await (await peer).received, '')
})

t.test('the environment and the working folder are as found', async t => {
  const peer = nextPeer()
  const state = ['env', '-i', 'A=1', 'NODE_OPTIONS=--x', 'PATH=/usr/bin:/bin']
  const { stdout } = await execute([...state, CLIENT, path, 'env'], { cwd: folder })
  t.strictSame(stdout.trim().split('\n').sort(), ['A=1', 'NODE_OPTIONS=--x', 'PATH=/usr/bin:/bin'])
  await (
    await peer
  ).received
})

t.test('what cannot be connected to is named with the reason', async t => {
  const missing = join(folder, 'none')
  const file = join(folder, 'file')
  writeFileSync(file, '')
  const cases: [path: string, reason: string][] = [
    [missing, 'No such file or directory'],
    [file, 'Connection refused'],
    ['', 'No such file or directory'],
    [`/tmp/${'x'.repeat(200)}`, 'File name too long'],
    ['x'.repeat(108), 'File name too long'],
    ['x'.repeat(107), 'No such file or directory'],
  ]
  for (const [path, reason] of cases) {
    const stderr = `Failed to connect to "${path}": ${reason}\n`
    t.strictSame(await execute([CLIENT, path, 'echo', 'started']), { status: 1, stdout: '', stderr })
  }
})

t.test('a socket without the right to connect is named', { skip: requires(['root', 'setpriv']) }, async t => {
  chmodSync(path, 0o700)
  const user = [
    'setpriv',
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--',
  ]
  // The checkout may lie in a folder that only root enters.
  const copy = join(folder, 'client')
  await execute(['cp', CLIENT, copy])
  const stderr = `Failed to connect to "${path}": Permission denied\n`
  t.strictSame(await execute([...user, copy, path, 'true']), { status: 1, stdout: '', stderr })
})

t.test('a program that cannot be started is named with the reason', async t => {
  const plain = join(folder, 'plain')
  writeFileSync(plain, 'x')
  const cases: [program: string, reason: string][] = [
    ['no-such-program', 'No such file or directory'],
    [join(folder, 'none'), 'No such file or directory'],
    [plain, 'Permission denied'],
    ['', 'No such file or directory'],
  ]
  for (const [program, reason] of cases) {
    const stderr = `Failed to exec "${program}": ${reason}\n`
    t.strictSame(await runClient([program]), { status: 1, stdout: '', stderr, received: '' })
  }
})

t.test('its words never go to the switch, though the socket took the place of stderr', async t => {
  const peer = nextPeer()
  const { status } = await execute(['sh', '-c', '"$0" "$1" no-such-program 2>&-', CLIENT, path])
  t.equal(status, 1)
  t.equal(await (await peer).received, '')
})

t.test('without a program it shows its usage', async t => {
  for (const args of [[], [path], [path, '--']]) {
    const { status, stdout, stderr } = await execute([CLIENT, ...args])
    t.equal(status, 1)
    t.equal(stdout, '')
    t.match(stderr, /^Usage: \S+socket_vmnet_client SOCKET \[--\] COMMAND \[ARGS\.\.\.\]\n$/)
  }
})

t.test('it returns when a program that goes on in the background does, though pipes are held', async t => {
  const peer = nextPeer()
  const script = '(read line <&3; printf "still %s" "$line" >&3) & exit 7'
  const child = spawn(CLIENT, [path, 'sh', '-c', script], { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  t.teardown(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // it has ended
    }
  })
  let closed = false
  child.once('close', () => (closed = true))
  const [code] = (await once(child, 'exit')) as [number]
  t.equal(code, 7)
  t.notOk(closed, 'what goes on holds the pipes')
  const { socket, received } = await peer
  socket.write('here\n')
  t.equal(await received, 'still here', 'and has the socket')
})

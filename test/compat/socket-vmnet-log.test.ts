// The lines of the log, one by one; that the daemon says them at the right moments is in lifecycle.test.ts.

import t from 'tap'
import { lineOf, socketVmnetLines } from '../../src/compat/socket-vmnet-log.js'

const TIME = '2026-01-01T00:00:00.000Z'
const lines = (fields: object, isDebug = false, mode: 'host' | 'shared' | 'bridged' = 'shared') =>
  socketVmnetLines({ mode, isDebug })(JSON.stringify({ level: 30, time: TIME, ...fields }))

t.test('INFO | …, WARN | …, ERROR| …', async t => {
  t.equal(lines({ event: 'x', msg: 'said', n: 1 }), 'INFO | said n=1\n')
  t.equal(lines({ event: 'x', msg: 'said', level: 40 }), 'WARN | said\n')
  t.equal(lines({ event: 'x', msg: 'said', level: 50 }), 'ERROR| said\n')
  t.equal(lines({ event: 'x', msg: 'said', level: 60 }), 'ERROR| said\n')
})

t.test('DEBUG| … where that is asked for only', async t => {
  t.equal(lines({ event: 'x', msg: 'said', level: 20 }), '')
  t.equal(lines({ event: 'x', msg: 'said', level: 20 }, true), 'DEBUG| said\n')
  t.equal(
    lines({ event: 'port.up', msg: 'vm1 plugged in, PID 7', fd: 23, pid: 7 }, true),
    'DEBUG| vm1 plugged in, PID 7\nINFO | Accepted a connection (fd 23)\n',
    'the words that socket_vmnet does not have',
  )
})

t.test('Initializing vmnet.framework (mode N): 1000 host, 1001 shared, 1002 bridged', async t => {
  for (const [mode, number] of [
    ['host', 1000],
    ['shared', 1001],
    ['bridged', 1002],
  ] as const) {
    const entry = { event: 'uplink.open', level: 20, msg: 'opening' }
    t.equal(lines(entry, false, mode), `INFO | Initializing vmnet.framework (mode ${number})\n`)
  }
})

t.test('Accepted a connection, Connection closed by peer, Closing a connection (fd N)', async t => {
  t.equal(lines({ event: 'port.up', msg: 'vm1', fd: 23 }), 'INFO | Accepted a connection (fd 23)\n')
  t.equal(
    lines({ event: 'port.down', msg: 'vm1 left', fd: 23, reason: 'eof' }),
    'INFO | Connection closed by peer (fd 23)\nINFO | Closing a connection (fd 23)\n',
  )
  t.equal(
    lines({
      event: 'port.down',
      level: 40,
      msg: 'vm1 was closed: empty-frame',
      fd: 23,
      reason: 'empty-frame',
    }),
    'WARN | vm1 was closed: empty-frame\nINFO | Closing a connection (fd 23)\n',
    'a fault says why',
  )
})

t.test('a port without a descriptor of its own is said in our words', async t => {
  t.equal(lines({ event: 'port.up', msg: 'vm1 plugged in' }), 'INFO | vm1 plugged in\n')
  t.equal(lines({ event: 'port.down', msg: 'vm1 left', reason: 'eof' }), 'INFO | vm1 left reason=eof\n')
})

t.test('Created pidfile …, Removed pidfile …', async t => {
  for (const word of ['Created', 'Removed']) {
    const entry = { event: `pidfile.${word.toLowerCase()}`, level: 20, path: '/run/p', msg: 'x' }
    t.equal(lines(entry), `INFO | ${word} pidfile "/run/p" for process ${process.pid}\n`)
  }
})

t.test('Received signal …', async t => {
  for (const [signal, words] of [
    ['SIGHUP', 'Hangup'],
    ['SIGINT', 'Interrupt'],
    ['SIGTERM', 'Terminated'],
  ]) {
    const text = lines({ event: 'daemon.stop', signal, msg: `stopping on ${signal}` })
    t.match(text, new RegExp(`^INFO \\| Received signal ${words}(: \\d+)?\\n$`))
  }
  t.equal(
    lines({
      event: 'daemon.stop',
      level: 60,
      msg: 'stopping went wrong',
      err: { stack: 'Error: x\n    at y' },
    }),
    'ERROR| stopping went wrong Error: x at y\n',
  )
})

t.test('one line an entry: no newline inside, and nothing that a terminal obeys', async t => {
  t.equal(lines({ event: 'x', msg: 'first\n\n  second\n' }), 'INFO | first second\n')
  t.equal(
    lines({ event: 'x', msg: 'said', hostname: 'a\nERROR| b\r\u001b[31m' }),
    'INFO | said hostname=a?ERROR| b??[31m\n',
  )
  t.equal(lineOf('ERROR', 'a\rb\n'), 'ERROR| a?b\n')
})

// The log as people and as programs read it. That a reader who stalls or goes never stops the daemon is shown with
// a real one, in daemon/stderr.test.ts.

import t from 'tap'
import { LOG_LEVELS } from '../src/log.js'
import { pretty } from '../src/log-text.js'
import { execute } from './helpers/child.js'

const TIME = '2026-01-01T00:00:00.000Z'
const line = (fields: object) => JSON.stringify({ level: 30, time: TIME, ...fields })
const clock = new Date(TIME).toTimeString().slice(0, 8)

t.test('a line for people has the local time, the level, the message, and what that leaves out', async t => {
  t.equal(
    pretty(line({ event: 'dhcp.ack', port: 'vm1', ip: '192.168.105.2', msg: 'DHCPACK(vm1) 192.168.105.2' })),
    `${clock} INFO  DHCPACK(vm1) 192.168.105.2\n`,
  )
  t.equal(
    pretty(line({ event: 'x', port: 'vm1', reason: 'eof', msg: 'left' })),
    `${clock} INFO  left port=vm1 reason=eof\n`,
  )
  t.equal(
    pretty(line({ level: 40, sockets: ['/a', '/b'], msg: 'at' })),
    `${clock} WARN  at sockets=["/a","/b"]\n`,
  )
  t.equal(pretty(line({ sockets: ['/a', '/b'], msg: 'at /a and /b' })), `${clock} INFO  at /a and /b\n`)
  t.equal(pretty(line({})), `${clock} INFO  \n`)
})

t.test('a field whose value only looks like a part of the message is shown', async t => {
  t.equal(
    pretty(line({ uid: 0, msg: 'vm1 plugged in, PID 1203' })),
    `${clock} INFO  vm1 plugged in, PID 1203 uid=0\n`,
  )
  t.equal(
    pretty(line({ pid: 1203, msg: 'vm1 plugged in, PID 1203' })),
    `${clock} INFO  vm1 plugged in, PID 1203\n`,
  )
  t.equal(pretty(line({ vips: [], msg: 'none' })), `${clock} INFO  none vips=[]\n`)
})

t.test('a field of a guest`s or user`s choice makes no line of its own', async t => {
  t.equal(pretty(line({ key: 'a\nb', msg: 'x' })), `${clock} INFO  x key=a?b\n`)
})

t.test('every level has its name', async t => {
  const numbers = [10, 20, 30, 40, 50, 60]
  const names = numbers.map(level => pretty(line({ level, msg: 'x' })).split(' ')[1])
  t.strictSame(
    names.map(name => name.toLowerCase()),
    LOG_LEVELS.filter(level => level !== 'silent'),
  )
  t.match(pretty(line({ level: 35, msg: 'x' })), / 35 +x\n$/)
})

t.test('an error shows its stack below the line', async t => {
  const text = pretty(
    line({ err: { type: 'Error', message: 'broken', stack: 'Error: broken\n    at x' }, msg: 'm' }),
  )
  t.equal(text, `${clock} INFO  m\nError: broken\n    at x\n`)
  t.equal(pretty(line({ err: { message: 'broken' }, msg: 'm' })), `${clock} INFO  m\nbroken\n`)
  t.equal(pretty(line({ err: 'broken', msg: 'm' })), `${clock} INFO  m\n`)
})

t.test('what a stranger named cannot write to the terminal', async t => {
  const text = pretty(line({ hostname: '\u001b[31m\u009b5m\u007f', msg: 'DHCPACK \u001b]0;x\u0007' }))
  // oxlint-disable-next-line no-control-regex -- that is what is looked for
  t.notMatch(text.slice(0, -1), /[\u0000-\u001f\u007f-\u009f]/)
})

const SOURCE = `
import { openLog } from ${JSON.stringify(new URL('../src/log.js', import.meta.url).href)}
const [level, format] = process.argv.slice(1)
const { logger, flush } = openLog(level, format)
for (const each of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) logger[each]({ event: each, n: 1 }, 'said')
await flush()
`
const logged = async (level: string, format: string) => {
  const { stdout, stderr } = await execute([
    process.execPath,
    '--input-type=module',
    '-e',
    SOURCE,
    level,
    format,
  ])
  t.equal(stdout, '', 'nothing on stdout')
  return stderr.split('\n').filter(Boolean)
}

t.test('a level leaves out what is below it', async t => {
  for (const [index, level] of LOG_LEVELS.entries())
    t.equal((await logged(level, 'json')).length, LOG_LEVELS.length - 1 - index, level)
})

t.test('JSON lines have a level, a time in UTC, the fields and the message', async t => {
  const lines = (await logged('info', 'json')).map(text => JSON.parse(text) as Record<string, unknown>)
  const [{ time, ...rest }] = lines
  t.strictSame(rest, { level: 30, event: 'info', n: 1, msg: 'said' })
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.strictSame(
    (await logged('info', 'pretty')).map(text => text.slice(9)),
    ['INFO  said n=1', 'WARN  said n=1', 'ERROR said n=1', 'FATAL said n=1'],
  )
})

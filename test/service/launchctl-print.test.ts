// `launchctl print` of jobs in each state that they are known to be in. The texts have the form of those that others
// recorded on macOS 11 to 26; only a Mac shows what the next one prints, and a field that is not found is no error.

import t from 'tap'
import { isMissing, parsePrint } from '../../src/service/launchctl-print.js'
import { printed } from './fake-launchctl.js'

const NAME = 'io.github.vmbridge'

t.test('state, PID and last exit are read, and nothing from the blocks further in', async t => {
  t.strictSame(parsePrint(printed(NAME, { state: 'running', pid: 1234 })), { state: 'running', pid: 1234 })
  t.strictSame(parsePrint(printed(NAME, { state: 'not running', last: 'last exit code = 0' })), {
    state: 'not running',
    lastExit: 'status 0',
  })
  for (const [last, lastExit] of [
    ['last exit code = 1', 'status 1'],
    ['last exit code = 78: EX_CONFIG', 'status 78 (EX_CONFIG)'],
    ['last terminating signal = Killed: 9', 'signal 9 (Killed)'],
    ['last terminating signal = Segmentation fault: 11', 'signal 11 (Segmentation fault)'],
  ]) {
    t.strictSame(parsePrint(printed(NAME, { state: 'spawn scheduled', last })), {
      state: 'spawn scheduled',
      lastExit,
    })
  }
})

t.test('a text that says less is no error', async t => {
  t.strictSame(parsePrint(''), { state: 'unknown' })
  t.strictSame(parsePrint(`system/${NAME} = {\n\tpid = many\n\tstate = waiting\n}\n`), { state: 'waiting' })
})

t.test('a job that is not there is told from a launchctl that fails', async t => {
  const words = `Could not find service "${NAME}" in domain for system\n`
  t.ok(isMissing({ status: 113, stdout: '', stderr: words }))
  t.ok(isMissing({ status: 113, stdout: '', stderr: `Bad request.\n${words}` }))
  t.notOk(isMissing({ status: 113, stdout: '', stderr: 'Unrecognized target specifier.\n' }))
  t.notOk(isMissing({ status: 1, stdout: '', stderr: 'Operation not permitted\n' }))
})

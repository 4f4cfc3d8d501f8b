// The log in a file, as a service has it that nothing reads stderr of: appended to, and opened anew when it was renamed.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { scratch, socketsIn, vmbridge } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { VMBRIDGE } from '../helpers/root.js'

t.setTimeout(60_000)

/** Nothing tells of a line in a file but the file. */
async function waitFor(file: string, wanted: RegExp): Promise<string> {
  for (const end = performance.now() + 20_000; ; await sleep(50)) {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    if (wanted.test(text)) return text
    if (performance.now() > end) throw new Error(`${file}: no ${wanted} in\n${text}`)
  }
}

t.test('the log goes on in a new file after SIGUSR2, and the daemon goes on as well', async t => {
  const folder = scratch(t)
  const file = join(folder, 'log')
  writeFileSync(file, 'before\n')
  const places = [...socketsIn(folder), '--state-dir', join(folder, 'state'), '--log-file', file]
  const daemon = Child.launch([VMBRIDGE, 'daemon', '--uplink', 'none', ...places])
  t.teardown(() => daemon.close())
  t.match(await waitFor(file, /ready: PID/), /^before\n/, 'appended')
  renameSync(file, `${file}.0`)
  const old = readFileSync(`${file}.0`, 'utf8')
  daemon.kill('SIGUSR2')
  for (const end = performance.now() + 20_000; !existsSync(file) && performance.now() < end;) await sleep(50)
  daemon.kill('SIGTERM')
  t.strictSame(await daemon.exited, { code: 0, signal: null })
  t.match(readFileSync(file, 'utf8'), /^\S+ INFO {2}stopping on SIGTERM\n$/)
  t.equal(readFileSync(`${file}.0`, 'utf8'), old)
  t.equal(daemon.text(), '', 'nothing is said twice')
})

t.test('a log that cannot be written is an error at the start', async t => {
  const folder = scratch(t)
  const places = [...socketsIn(folder), '--log-file', join(folder, 'none/log')]
  t.match(await vmbridge(['daemon', '--uplink', 'none', ...places]), {
    status: 1,
    stderr: /^vmbridge: cannot write .*none\/log: ENOENT.*\n {2}try: choose another --log-file\n$/,
  })
})

// The log in a file, as a service has it that nothing reads stderr of: appended to, and opened anew when it was renamed.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { scratch, socketsIn, vmbridge } from '../cli/command.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'

t.setTimeout(300_000)

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
  const openHanded = ['sh', '-c', 'umask 0 && exec "$@"', 'sh']
  const daemon = Child.launch([...openHanded, VMBRIDGE, 'daemon', '--uplink', 'none', ...places])
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
  t.equal(statSync(file).mode & 0o777, 0o644, 'nobody else writes to it, whatever the umask')
})

t.test('a log that cannot be written is an error at the start', async t => {
  const folder = scratch(t)
  const places = [...socketsIn(folder), '--log-file', join(folder, 'none/log')]
  t.match(await vmbridge(['daemon', '--uplink', 'none', ...places]), {
    status: 1,
    stderr: /^vmbridge: cannot write .*none\/log: ENOENT.*\n {2}try: choose another --log-file\n$/,
  })
})

t.test(
  'where the new file cannot be made, the log goes on in the old one, and no descriptor is left behind',
  { skip: requires(['linux']) },
  async t => {
    const folder = scratch(t)
    const file = join(folder, 'log')
    const places = [...socketsIn(folder), '--state-dir', join(folder, 'state'), '--log-file', file]
    const daemon = Child.launch([VMBRIDGE, 'daemon', '--uplink', 'none', ...places])
    t.teardown(() => daemon.close())
    await waitFor(file, /ready: PID/)
    /** What its descriptors are of; one may be closed between the list and the look. */
    const open = () => {
      const fds = `/proc/${daemon.pid}/fd`
      return readdirSync(fds).flatMap(fd => {
        try {
          return readlinkSync(join(fds, fd))
        } catch {
          return []
        }
      })
    }
    renameSync(file, `${file}.0`)
    mkdirSync(file)
    for (const count of [1, 2]) {
      daemon.kill('SIGUSR2')
      const wanted = `(cannot write .*log: EISDIR.*; the log goes on in the file that was open\n[^]*){${count}}`
      await waitFor(`${file}.0`, new RegExp(wanted))
    }
    rmdirSync(file)
    for (let storm = 100; storm > 0; storm--) daemon.kill('SIGUSR2')
    for (const end = performance.now() + 20_000; !existsSync(file) && performance.now() < end;)
      await sleep(50)
    // Closing takes a thread a moment.
    const logs = () => open().filter(path => path.startsWith(file))
    for (const end = performance.now() + 20_000; logs().length !== 1 && performance.now() < end;)
      await sleep(50)
    t.strictSame(logs(), [file])
    daemon.kill('SIGTERM')
    t.strictSame(await daemon.exited, { code: 0, signal: null })
    t.match(readFileSync(file, 'utf8'), /stopping on SIGTERM\n$/)
  },
)

t.test('a FIFO that nobody reads is not waited for', { skip: requires(['mkfifo']) }, async t => {
  const folder = scratch(t)
  const fifo = join(folder, 'fifo')
  await execute(['mkfifo', fifo])
  const places = [...socketsIn(folder), '--state-dir', join(folder, 'state'), '--log-file', fifo]
  t.match(await vmbridge(['daemon', '--uplink', 'none', ...places]), {
    status: 1,
    stderr: /^vmbridge: cannot write .*fifo: ENXIO/,
  })
})

t.test('root writes the log through no link', { skip: requires(['root']) }, async t => {
  const folder = scratch(t)
  const link = join(folder, 'log')
  symlinkSync(join(folder, 'crontab'), link)
  const start = (file: string) =>
    execute(
      ['sh', '-c', 'exec "$@" 2>"$0"', join(folder, 'err'), VMBRIDGE, 'daemon', '--uplink', 'none'].concat([
        '--socket',
        join(folder, 'none/s'),
        '--state-dir',
        join(folder, 'state'),
        '--log-file',
        file,
      ]),
    )
  t.match(await start(link), { status: 1 })
  t.match(
    readFileSync(join(folder, 'err'), 'utf8'),
    /^vmbridge: cannot write \S+: root writes it through no symbolic link\n/,
  )
  t.notOk(existsSync(join(folder, 'crontab')))
  t.match(await start('/dev/stderr'), { status: 1 })
  t.match(readFileSync(join(folder, 'err'), 'utf8'), /none\/s does not exist/, 'but those of the system')
})

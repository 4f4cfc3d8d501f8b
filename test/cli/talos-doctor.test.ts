// `vmbridge talos doctor` on this machine, with programs that stand in for talosctl and QEMU: what it prints, and its status.

import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FakeDaemon } from '../talos/stand-in-daemon.js'
import { requires } from '../helpers/requires.js'
import { scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

/** A QEMU by a shell script: it knows `-netdev stream` with the options of its version, and `-version`. */
const QEMU = `#!/bin/sh
case "$*" in
  *reconnect-ms=*) [ "$RECONNECT" = ms ] || exit 1 ;;
  *reconnect=*) [ "$RECONNECT" = s ] || exit 1 ;;
  *-netdev*) [ "$RECONNECT" != old ] || exit 1 ;;
esac
[ "$RECONNECT" = old ] && version=6.2.0 || version=9.9.9
echo "QEMU emulator version $version"
`

function place(t: Test): { prefix: string; path: string; control: string } {
  const prefix = scratch(t)
  const [talos, bin] = ['talos', 'bin'].map(name => join(prefix, name))
  for (const folder of [talos, bin]) mkdirSync(folder)
  const program = (path: string, text: string) => {
    writeFileSync(path, text)
    chmodSync(path, 0o755)
  }
  for (const name of ['qemu-system-aarch64', 'qemu-system-x86_64']) {
    copyFileSync('/bin/true', join(talos, name))
    program(join(bin, name), QEMU)
  }
  writeFileSync(
    join(talos, 'settings.json'),
    JSON.stringify({ format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {} }),
  )
  program(join(bin, 'talosctl'), "#!/bin/sh\nprintf 'Client:\\nTalos v1.14.0\\n'\n")
  return { prefix, path: `${talos}:${bin}:${process.env['PATH']}`, control: join(prefix, 'c') }
}

const skip = requires(['root'])
const CIDR = '198.18.5.0/24'

t.test('where all is well: a line a check, status 0', { skip }, async t => {
  const { prefix, path, control } = place(t)
  await new FakeDaemon(t, control).start()
  const args = ['talos', 'doctor', '--prefix', prefix, '--control', control, '--cidr', CIDR]
  const env = { PATH: path, RECONNECT: 'ms' }
  const { status, stdout, stderr } = await vmbridge(args, { env })
  t.strictSame([status, stderr], [0, ''], stdout)
  t.match(stdout, /^ok +talosctl: +.*\/bin\/talosctl, v1\.14\.0: waits for/m)
  t.match(stdout, /^ok +path: +root finds .*\/talos\/qemu-system-\w+ first$/m)
  t.match(stdout, /^ok +qemu: +.*\/bin\/qemu-system-\w+, 9\.9\.9: -netdev stream with reconnect-ms$/m)
  t.match(stdout, /^ok +daemon: +vmbridge 0\.0\.0 answers at /m)
  t.match(stdout, /\n\d ok, 0 failed, \d skipped\n$/)
})

t.test('what is wrong has its fix, warnings are counted, status 1', { skip }, async t => {
  const { prefix, path, control } = place(t)
  const args = ['talos', 'doctor', '--prefix', prefix, '--control', control, '--cidr', CIDR]
  const { status, stdout } = await vmbridge(args, { env: { PATH: path, RECONNECT: 'none' } })
  t.equal(status, 1)
  t.match(stdout, /^FAILED +daemon: +no daemon answers at .*\n +fix: sudo vmbridge service install$/m)
  t.match(stdout, /^warning +qemu: +.*stay cut off/m)
  t.match(stdout, /\n\d ok, 1 warning, 1 failed, \d skipped\n$/)
})

t.test('--json', { skip }, async t => {
  const { prefix, path, control } = place(t)
  chmodSync(join(prefix, 'talos'), 0o777)
  const args = ['talos', 'doctor', '--prefix', prefix, '--control', control, '--json']
  const { status, stdout } = await vmbridge(args, { env: { PATH: path, RECONNECT: 'old' } })
  t.equal(status, 1)
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: { name: string }[] }
  t.equal(ok, false)
  const named = (name: string) => checks.find(each => each.name === name)
  t.match(named('stand-ins'), { status: 'failed', fix: /^sudo chmod go-w / })
  t.match(named('qemu'), { status: 'failed', detail: /6\.2\.0: has no -netdev stream/ })
})

t.test('what is wrong with the command line is said, with status 2', async t => {
  const wrong: [string[], RegExp][] = [
    [['x'], /no operand.*"x"/],
    [['--cidr', '10.5.0.1/24'], /base/],
    [['--prefix', ''], /--prefix takes a path/],
    [['--nonsense'], /--nonsense/],
  ]
  for (const [args, says] of wrong) {
    const { status, stdout, stderr } = await vmbridge(['talos', 'doctor', ...args])
    t.strictSame([status, stdout], [2, ''], args.join(' '))
    t.match(stderr, says)
  }
})

// The installed tree as launchd, Homebrew and Colima start it: their argument vectors at their paths, in private mounts,
// under the environments that they give. That launchd itself does the same, only a Mac can show.

import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { namespace } from '../clients/host.js'
import { acquire } from '../clients/raw.js'
import { Station } from '../daemon/station.js'
import { Client } from '../dhcp/segment.js'
import { Child, execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { rootsFolder } from '../install/place.js'
import { COMPAT_NEEDS, place, withMounts, type Mounts } from './socket-vmnet.js'

t.setTimeout(600_000)

const skip = requires([...COMPAT_NEEDS, 'sudo'])
const CLEAN = ['env', '-i', 'PATH=/usr/bin:/bin:/usr/sbin:/sbin']
const READY = /^INFO \| ready: /

/** `install --prefix /opt/socket_vmnet`, with a folder of the test in the place of /opt. */
async function install(t: Test): Promise<string> {
  const opt = rootsFolder(t)
  const argv = withMounts({ '/opt': opt }, [VMBRIDGE, 'install', '--prefix', '/opt/socket_vmnet'])
  const { status, stderr } = await execute(argv, { timeoutMs: 180_000, cwd: '/' })
  t.equal(status, 0, stderr)
  return opt
}

/** A VM leases an address, so the segment is there. */
async function leases(t: Test, socket: string): Promise<string | undefined> {
  const vm = await Station.connect(t, socket)
  const address = await acquire(vm, new Client(1), { tries: 10 })
  await vm.close()
  return address
}

t.test('the installed tree', { skip }, async t => {
  const opt = await install(t)
  const netns = await namespace(t)
  const launch = (t: Test, mounts: Mounts, argv: readonly string[], cwd = '/'): Child => {
    const child = Child.launch(netns.wrap(withMounts({ '/opt': opt, ...mounts }, argv)), { cwd })
    t.teardown(() => child.close('SIGTERM'))
    return child
  }

  await t.test('launchd: io.github.lima-vm.socket_vmnet, its logs in files, kept alive', async t => {
    const [run, log] = [place(t), place(t)]
    const mounts = { '/var/lib': place(t), '/run': run }
    const job = '/opt/socket_vmnet/bin/socket_vmnet --vmnet-gateway=192.168.105.1 /var/run/socket_vmnet'
    const redirected = `exec ${job} >>"${log}/stdout" 2>>"${log}/stderr"`
    for (const ending of ['SIGKILL', 'SIGTERM'] as const) {
      const child = launch(t, mounts, [...CLEAN, 'sh', '-c', redirected])
      while (!READY.test(lastLine(join(log, 'stderr')))) {
        if (!existsSync(`/proc/${child.pid}`)) throw new Error(readFileSync(join(log, 'stderr'), 'utf8'))
        await new Promise(resolve => setTimeout(resolve, 20))
      }
      t.equal(statSync(join(run, 'socket_vmnet')).mode & 0o777, 0o770)
      t.match(await leases(t, join(run, 'socket_vmnet')), /^192\.168\.105\./)
      const { code } = await child.close(ending)
      t.equal(code, ending === 'SIGTERM' ? 0 : null)
    }
    t.equal(readFileSync(join(log, 'stdout'), 'utf8'), '')
    t.match(lastLine(join(log, 'stderr')), /^INFO \| Received signal Terminated$/)
    t.notOk(existsSync(join(run, 'socket_vmnet')))
  })

  await t.test('an empty environment, PATH=/usr/bin:/bin, any cwd', async t => {
    const folder = place(t)
    for (const [env, cwd] of [
      [['env', '-i'], '/'],
      [['env', '-i', 'PATH=/usr/bin:/bin'], folder],
    ] as const) {
      const argv = [
        ...env,
        '/opt/socket_vmnet/bin/socket_vmnet',
        '--vmnet-gateway=192.168.105.1',
        join(folder, 's'),
      ]
      const child = launch(t, { '/var/lib': folder }, argv, cwd)
      await child.waitForLine(READY)
      t.match(await leases(t, join(folder, 's')), /^192\.168\.105\./)
      t.strictSame(await child.close('SIGTERM'), { code: 0, signal: null })
    }
    // SOCKET may be relative to it.
    const relative = ['env', '-i', '/opt/socket_vmnet/bin/socket_vmnet', '--vmnet-mode=host', 'r']
    const child = launch(t, { '/var/lib': folder }, relative, folder)
    await child.waitForLine(READY)
    t.ok(existsSync(join(folder, 'r')))
    await child.close('SIGTERM')
  })

  await t.test(
    'Homebrew: opt_bin by its link into the Cellar, $PREFIX/var/run/socket_vmnet, kept alive',
    async t => {
      const prefix = join(opt, 'homebrew')
      for (const path of ['Cellar/socket_vmnet/1', 'opt', 'var/run'])
        mkdirSync(join(prefix, path), { recursive: true })
      symlinkSync('../Cellar/socket_vmnet/1', join(prefix, 'opt/socket_vmnet'))
      const mounts = { '/var/lib': place(t), '/opt/homebrew/Cellar/socket_vmnet/1': '/opt/socket_vmnet' }
      const program = [...CLEAN, '/opt/homebrew/opt/socket_vmnet/bin/socket_vmnet']
      const service = [...program, '--vmnet-gateway=192.168.105.1', '/opt/homebrew/var/run/socket_vmnet']
      for (let round = 0; round < 2; round++) {
        const child = launch(t, mounts, service)
        await child.waitForLine(READY)
        t.match(await leases(t, join(prefix, 'var/run/socket_vmnet')), /^192\.168\.105\./)
        // KeepAlive: the same again, over what the one that died has left.
        await child.close('SIGKILL')
      }
      const formula = launch(t, mounts, [...program, '/dev/null'])
      t.equal((await formula.exited).code, 1)
      t.match(formula.text(), /bind: Address already in use/)
    },
  )

  await t.test('Colima: sudo, pkill -0 -F PID, stat, connect-and-close, pkill -F PID', async t => {
    const folder = place(t)
    mkdirSync(join(opt, 'colima'))
    mkdirSync(join(opt, 'socket_vmnet/run'))
    t.teardown(() => rmSync(join(opt, 'socket_vmnet/run'), { recursive: true }))
    const [pid, socket] = ['/opt/colima/run/vmnet-default.pid', join(folder, 'vmnet.sock')]
    const pidfile = join(opt, 'socket_vmnet/run/vmnet-default.pid')
    const mounts = { '/opt': opt, '/opt/colima': '/opt/socket_vmnet', '/var/lib': folder }
    const sudo = (...argv: string[]) => netns.wrap(withMounts(mounts, ['sudo', ...argv]))
    const alive = async (): Promise<boolean> => {
      if (!existsSync(pidfile) || !existsSync(socket)) return false
      if ((await execute(sudo('pkill', '-0', '-F', pid))).status !== 0) return false
      return new Promise(resolve => {
        const peer = connect(socket, () => peer.destroy())
        peer.once('error', () => resolve(false)).once('close', hadError => resolve(!hadError))
      })
    }
    for (let round = 0; round < 2; round++) {
      rmSync(socket, { force: true })
      const options =
        '--vmnet-mode shared --socket-group staff --vmnet-gateway 192.168.106.1 --vmnet-dhcp-end 192.168.106.254'
      const argv = ['/opt/colima/bin/socket_vmnet', ...options.split(' '), '--pidfile', pid, socket]
      t.notOk(await alive(), 'not before it is started')
      const child = Child.launch(sudo(...argv))
      t.teardown(() => child.close('SIGTERM'))
      await child.waitForLine(READY)
      for (let look = 0; look < 20; look++) if (!(await alive())) t.fail(`not alive at look ${look}`)
      t.equal(
        spawnSync('pgrep', ['-F', pidfile], { encoding: 'utf8' }).stdout.trim(),
        readFileSync(pidfile, 'utf8'),
      )
      t.equal((await execute(sudo('pkill', '-F', pid))).status, 0)
      t.equal((await child.exited).code, 0)
      t.notOk(existsSync(pidfile))
      t.notOk(existsSync(socket))
    }
  })
})

function lastLine(path: string): string {
  closeSync(openSync(path, 'a'))
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? ''
}

// Lima's start and stop of networks, replayed by lima.ts as a user of the group admin: the installed tree, the printed
// fragment in sudoers.d, and sudo with its clean environment. The container's files are an overlay: what is put into
// /opt, /etc and /private is not this machine's. As on a Mac, root's group is wheel, and what is made in
// /private/var/run is of the group daemon. On Linux a TAP is behind a network; then the double of vmnet.framework.

import t, { type Test } from 'tap'
import { requires } from '../../helpers/requires.js'
import { variantEnv, VARIANT_NEEDS } from '../../helpers/variant.js'
import { Container, CONTAINER_NEEDS } from '../../service/container.js'

t.setTimeout(900_000)

const NEEDS = [...CONTAINER_NEEDS, 'sudo', 'visudo', 'pkill', 'runuser', 'setsid', 'useradd', 'groupmod']
const skip = requires(NEEDS)

const REPOSITORY = '/srv/vmbridge'
const VMBRIDGE = ['env', 'VMBRIDGE_NODE=/srv/node', `${REPOSITORY}/bin/vmbridge`]
const LIMA = `${REPOSITORY}/dist/test/compat/lima/lima.js`
const FRAGMENT = '/etc/sudoers.d/lima'
const VAR_RUN = '/private/var/run/lima'
const PIDFILE = `${VAR_RUN}/shared_socket_vmnet.pid`
const PROGRAM = '/opt/socket_vmnet/bin/socket_vmnet'
const START =
  `${PROGRAM} --pidfile=${PIDFILE} --socket-group=admin --vmnet-mode=shared --vmnet-gateway=192.168.105.1 ` +
  `--vmnet-dhcp-end=192.168.105.254 --vmnet-mask=255.255.255.0 ${VAR_RUN}/socket_vmnet.shared`
const PATIENCE = { timeoutMs: 180_000 }

type Became = { became: string; pid?: number; attempt?: number; status?: number; message?: string }

class Lab {
  readonly box: Container

  constructor(box: Container) {
    this.box = box
  }

  /** A Mac's users, groups and folders, as far as Lima looks at them, and our tree. */
  static async start(t: Test): Promise<Lab> {
    const box = await Container.start(t)
    await box.sh('groupmod', '--new-name', 'wheel', 'root')
    await box.sh('groupadd', '--system', 'admin')
    await box.sh('useradd', '--create-home', '--groups', 'admin', 'anna')
    await box.sh('useradd', '--create-home', 'bert')
    // Debian's sudo gives a program a terminal of its own, and macOS's does not.
    await box.sh('sed', '-i', '/use_pty/d; /secure_path/d', '/etc/sudoers')
    await box.sh('mkdir', '-p', '/private/var/run', '/private/etc')
    await box.sh('mount', '--bind', '/etc', '/private/etc')
    // Debian lets nobody look into it; macOS does, and Lima must.
    await box.sh('chmod', '755', '/etc/sudoers.d')
    await box.sh('chgrp', 'daemon', '/private/var/run')
    await box.sh('chmod', '2775', '/private/var/run')
    const install = await box.exec([...VMBRIDGE, 'install', '--prefix', '/opt/socket_vmnet'], PATIENCE)
    if (install.status !== 0) throw new Error(install.stderr)
    return new Lab(box)
  }

  as(user: string, ...argv: string[]) {
    // What a login has, and what a user may have made of it.
    const env = ['env', '-i', `HOME=/home/${user}`, 'PATH=/tmp/evil:/usr/bin:/bin', 'EVIL=1']
    return this.box.exec(['runuser', '--user', user, '--', ...env, ...argv], PATIENCE)
  }

  /** In a session of its own, as Lima's host agent is: what it starts outlives this call. */
  async lima(...words: string[]): Promise<Became> {
    const { stdout, stderr } = await this.as('anna', 'setsid', '--wait', '/srv/node', LIMA, ...words)
    try {
      return JSON.parse(stdout) as Became
    } catch {
      throw new Error(`${words.join(' ')}: ${stdout}${stderr}`)
    }
  }

  vmbridge(...words: string[]) {
    return this.as('anna', ...VMBRIDGE, 'lima', ...words)
  }

  /** What is in varRun. */
  async rests(): Promise<string[]> {
    const names = (await this.box.exec(['ls', '-A', VAR_RUN])).stdout.split('\n')
    return names.filter(name => name !== '' && !name.includes('.control')).sort()
  }

  /** Resolves when it is gone. */
  async killHard(pid: number): Promise<void> {
    await this.box.sh('sh', '-c', `kill -9 ${pid} && timeout 20 tail --pid=${pid} -f /dev/null`)
  }

  async putFragment(): Promise<string> {
    const { status, stdout, stderr } = await this.vmbridge('print-sudoers')
    if (status !== 0) throw new Error(stderr)
    const put = ['sh', '-c', `cat >/tmp/lima && install -o root -m 0644 /tmp/lima ${FRAGMENT}`]
    await this.box.exec(put, { input: stdout })
    return stdout
  }
}

/** What answers a VM of each network. */
const FAR_SIDES = { shared: '192.168.105.1', host: '192.168.106.1', bridged: '10.77.0.1' }
const UP = ['shared_socket_vmnet.pid', 'socket_vmnet.shared']

t.test('what Lima does, on a TAP', { skip }, async t => {
  const lab = await Lab.start(t)
  const { box } = lab

  await t.test('check says what is missing, and after that nothing', async t => {
    const before = await lab.vmbridge('check')
    t.equal(before.status, 1)
    t.match(
      before.stdout,
      /^FAILED {3}sudoers: .*is not there\n.*a password is required\n +fix: vmbridge lima print-sudoers/m,
    )
    t.equal(before.stdout.match(/^FAILED/gm)?.length, 1, before.stdout)
    await lab.putFragment()
    const after = await lab.vmbridge('check', '--json')
    t.equal(after.status, 0, after.stdout)
    const { ok, checks } = JSON.parse(after.stdout) as {
      ok: boolean
      checks: { name: string; status: string }[]
    }
    t.equal(ok, true)
    t.match(
      checks.find(({ name }) => name === 'tree'),
      {
        status: 'ok',
        detail: /as installed: interpreter, addon, \d+ files in \/opt\/socket_vmnet\/versions\//,
      },
    )
    for (const name of ['path', 'varRun', 'group', 'sudoers', 'syntax'])
      t.equal(checks.find(each => each.name === name)?.status, 'ok', name)
    const bert = await lab.as('bert', ...VMBRIDGE, 'lima', 'check')
    t.match(bert, { status: 1, stdout: /^FAILED {3}group: +you are not in the group admin$/m })
  })

  await t.test('start: the pidfile within 30 s, a socket for the group, a VM that is answered', async t => {
    const started = await lab.lima('start', 'shared')
    t.match(started, { became: 'ready', attempt: 1 }, JSON.stringify(started))
    t.equal(await box.sh('cat', PIDFILE), `${started.pid}\n`)
    t.match(await box.sh('ps', '-o', 'user=,args=', '-p', String(started.pid)), /^root .*socket_vmnet/)
    t.strictSame(await lab.rests(), UP)
    t.equal(await box.sh('stat', '-c', '%a %G', `${VAR_RUN}/socket_vmnet.shared`), '770 admin\n')
    t.match(await lab.lima('arp', 'shared', '192.168.105.1'), { became: 'answered' })
    t.match((await lab.vmbridge('check')).stdout, /^ok {7}run shared: +running, process \d+$/m)
  })

  await t.test('who is not in the group neither connects nor starts', async t => {
    const arp = ['/srv/node', LIMA, 'arp', 'shared', '192.168.105.1']
    t.match(await lab.as('bert', ...arp), { status: 1, stdout: /EACCES/ })
    const sudo = ['sudo', '--user', 'root', '--group', 'wheel', '--non-interactive']
    t.match(await lab.as('bert', ...sudo, ...START.split(' ')), { status: 1, stderr: /password/ })
    const longer = `${START} --vmnet-disable-dhcp`
    t.match(await lab.as('anna', ...sudo, ...longer.split(' ')), { status: 1, stderr: /password/ })
  })

  await t.test(
    'start twice: Lima starts no other; and one that is started all the same gives up',
    async t => {
      const { pid } = await lab.lima('start', 'shared')
      t.match(await lab.lima('start', 'shared'), { became: 'running before', pid })
      const sudo = ['sudo', '--user', 'root', '--group', 'wheel', '--non-interactive']
      t.match(await lab.as('anna', ...sudo, ...START.split(' ')), { status: 1 })
      t.equal(await box.sh('cat', PIDFILE), String(pid) + '\n')
      t.match(await lab.lima('arp', 'shared', '192.168.105.1'), { became: 'answered' })
    },
  )

  await t.test('two networks at once, stopped one after the other', async t => {
    t.match(await lab.lima('start', 'host'), { became: 'ready' })
    t.match(await lab.lima('arp', 'host', '192.168.106.1'), { became: 'answered' })
    t.match(await lab.lima('stop', 'shared'), { became: 'stopped' })
    t.strictSame(await lab.rests(), ['host_socket_vmnet.pid', 'socket_vmnet.host'])
    t.match(await lab.lima('arp', 'host', '192.168.106.1'), { became: 'answered' })
    t.match(await lab.lima('stop', 'host'), { became: 'stopped' })
    t.strictSame(await lab.rests(), [])
  })

  await t.test('after kill -9 the old pidfile and socket are replaced', async t => {
    const { pid } = await lab.lima('start', 'shared')
    await lab.killHard(pid!)
    t.strictSame(await lab.rests(), UP, 'they are there')
    t.match((await lab.vmbridge('check')).stdout, /run shared: .*dead process/)
    const again = await lab.lima('start', 'shared')
    t.match(again, { became: 'ready', attempt: 1 })
    t.not(again.pid, pid)
    t.match(await lab.lima('arp', 'shared', '192.168.105.1'), { became: 'answered' })
    t.match(await lab.lima('stop', 'shared'), { became: 'stopped' })
    t.strictSame(await lab.rests(), [])
  })

  await t.test('bridged mode needs macOS: status 1 and a line that says so, each time', async t => {
    t.match(await lab.lima('start', 'bridged', '2'), { became: 'exited', attempt: 2, status: 1 })
    const log = await box.sh('cat', '/home/anna/.lima/_networks/bridged_socket_vmnet.stderr.log')
    t.match(log, /^ERROR\| .*bridged.* needs macOS/m)
    t.strictSame(await lab.rests(), [])
  })

  await t.test('check sees a file of the tree that is not as installed', async t => {
    const addon = (
      await box.sh('sh', '-c', 'ls /opt/socket_vmnet/versions/*/build/Release/vmbridge.node')
    ).trim()
    await box.sh('sh', '-c', `printf x >>${addon}`)
    const { status, stdout } = await lab.vmbridge('check')
    t.equal(status, 1)
    t.match(stdout, new RegExp(`^FAILED {3}tree: +${addon} is not the file that was installed$`, 'm'))
  })
})

t.test(
  'what Lima does, on the double of vmnet',
  { skip: requires([...NEEDS, ...VARIANT_NEEDS]) },
  async t => {
    variantEnv('double')
    const lab = await Lab.start(t)
    const { box } = lab
    // The tree of a Mac has vmnet; this one gets what stands in for it.
    const addon = `${REPOSITORY}/.variants/double/build/Release/vmbridge.node`
    await box.sh('sh', '-c', `cp ${addon} /opt/socket_vmnet/versions/*/build/Release/vmbridge.node`)
    // The double bridges to bridges: this one is the LAN, and the host is on it.
    await box.sh('ip', 'link', 'add', 'en0', 'type', 'bridge')
    await box.sh('ip', 'address', 'add', '10.77.0.1/24', 'dev', 'en0')
    await box.sh('ip', 'link', 'set', 'en0', 'up')
    await lab.putFragment()

    // Bridged mode starts on vmnet alone: what starts it here is the double.
    await t.test('shared, host and bridged at once', async t => {
      for (const [name, ip] of Object.entries(FAR_SIDES)) {
        t.match(await lab.lima('start', name), { became: 'ready', attempt: 1 }, name)
        t.match(await lab.lima('arp', name, ip), { became: 'answered' }, name)
      }
      const log = await box.sh('cat', '/home/anna/.lima/_networks/bridged_socket_vmnet.stderr.log')
      t.match(log, /vmnet/, 'it is vmnet, and no TAP')
      for (const name of Object.keys(FAR_SIDES))
        t.match(await lab.lima('stop', name), { became: 'stopped' }, name)
      t.strictSame(await lab.rests(), [])
    })

    await t.test('after kill -9 the old pidfile and socket are replaced', async t => {
      const { pid } = await lab.lima('start', 'bridged')
      await lab.killHard(pid!)
      t.strictSame(await lab.rests(), ['bridged_socket_vmnet.pid', 'socket_vmnet.bridged'])
      t.match(await lab.lima('start', 'bridged'), { became: 'ready', attempt: 1 })
      t.match(await lab.lima('arp', 'bridged', FAR_SIDES.bridged), { became: 'answered' })
      t.match(await lab.lima('stop', 'bridged'), { became: 'stopped' })
    })
  },
)

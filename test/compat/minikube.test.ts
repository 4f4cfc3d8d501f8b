// minikube's way with socket_vmnet_client, with a real QEMU: the client runs it with -daemonize under pipes, and minikube
// waits until the program has ended and the pipes are at their end. Then it asks QMP, and the host is 192.168.105.1.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { NOBODY } from '../cli/command.js'
import { namespace } from '../clients/host.js'
import { Child, execute } from '../helpers/child.js'
import { guestImage, KERNEL_ARGUMENTS } from '../helpers/guest.js'
import { answers } from '../helpers/host.js'
import { GUEST_LAB, requires } from '../helpers/requires.js'
import { CLIENT, COMPAT_NEEDS, place, SOCKET_VMNET, withMounts } from './socket-vmnet.js'

t.setTimeout(600_000)

const skip = requires([...GUEST_LAB, ...COMPAT_NEEDS, 'getent'])
const MAC = '02:00:00:0c:04:0b'
const PATIENCE = 120_000

/** A user of the socket's group, as who runs minikube is; may read a checkout in root's home. */
const asStaff = (gid: number, argv: readonly string[]): string[] => [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${gid}`,
  '--clear-groups',
  '--inh-caps=+dac_read_search',
  '--ambient-caps=+dac_read_search',
  '--',
  ...argv,
]

/** exec.Cmd's Run with buffers: the end of the program, and of both pipes. */
async function cmdRun(t: Test, argv: readonly string[]): Promise<{ code: number | null; text: string }> {
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', part => (text += part))
  const [code] = (await once(child, 'close', { signal: AbortSignal.timeout(PATIENCE) })) as [number | null]
  return { code, text }
}

/** Polls, as minikube does, for what another program brings about. */
async function becomes(is: () => boolean): Promise<void> {
  for (const deadline = performance.now() + PATIENCE; !is(); await setTimeout(50))
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE} ms: ${is}`)
}

/** What a socket says from now on, line by line. */
async function dial(
  t: Test,
  path: string,
): Promise<{ socket: Socket; line: (wanted: RegExp) => Promise<string> }> {
  const socket = connect(path)
  // QEMU that quits ends it without a word.
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  let text = ''
  socket.setEncoding('utf8').on('data', part => (text += part))
  const find = (wanted: RegExp) =>
    text
      .split(/\r?\n/)
      .slice(0, -1)
      .find(line => wanted.test(line))
  return {
    socket,
    async line(wanted) {
      await becomes(() => find(wanted) !== undefined)
      return find(wanted)!
    },
  }
}

t.test(
  'minikube: client and QEMU with -daemonize under pipes, QMP, and the host at 192.168.105.1',
  { skip },
  async t => {
    const netns = await namespace(t)
    const gid = Number((await execute(['getent', 'group', 'staff'])).stdout.split(':')[2])
    const [opt, machine] = [place(t), place(t)]
    chownSync(machine, NOBODY, gid)
    // The paths that it wants below PREFIX, here /opt/homebrew.
    const prefix = join(opt, 'homebrew')
    for (const path of ['opt/socket_vmnet/bin', 'var/run']) mkdirSync(join(prefix, path), { recursive: true })
    for (const folder of [opt, machine]) await execute(['chmod', '755', folder])
    copyFileSync(CLIENT, join(prefix, 'opt/socket_vmnet/bin/socket_vmnet_client'))
    const mounts = { '/opt': opt, '/var/lib': place(t) }
    const [socket, client] = ['var/run/socket_vmnet', 'opt/socket_vmnet/bin/socket_vmnet_client'].map(path =>
      join('/opt/homebrew', path),
    )
    const daemon = Child.launch(
      netns.wrap(withMounts(mounts, [SOCKET_VMNET, '--vmnet-gateway=192.168.105.1', socket])),
    )
    t.teardown(() => daemon.close('SIGTERM'))
    await daemon.waitForLine(/^INFO \| ready: /)

    const { kernel, initrd } = guestImage()
    const [serial, log, monitor, pidfile] = ['serial', 'log', 'monitor', 'qemu.pid'].map(name =>
      join(machine, name),
    )
    const qemu = [
      'qemu-system-aarch64 -M virt -cpu cortex-a72 -display none -accel tcg -m 96 -smp 1'.split(' '),
      ['-kernel', kernel, '-initrd', initrd, '-append', KERNEL_ARGUMENTS],
      [
        '-chardev',
        `socket,id=tty,path=${serial},server=on,wait=off,logfile=${log}`,
        '-serial',
        'chardev:tty',
      ],
      ['-qmp', `unix:${monitor},server,nowait`, '-pidfile', pidfile],
      ['-device', `virtio-net-pci,netdev=net0,mac=${MAC},romfile=`, '-netdev', 'socket,id=net0,fd=3'],
      ['-daemonize'],
    ].flat()
    const argv = netns.wrap(withMounts(mounts, asStaff(gid, [client, socket, ...qemu])))
    const { code, text } = await cmdRun(t, argv)
    t.equal(code, 0, text)
    t.notMatch(text, 'error:', 'which minikube would take for a failure')
    await daemon.waitForLine(/^INFO \| Accepted a connection/)
    const pid = Number(readFileSync(pidfile, 'utf8'))
    t.ok(existsSync(`/proc/${pid}`), 'QEMU goes on')

    const qmp = await dial(t, monitor)
    qmp.socket.write('{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n')
    t.match(await qmp.line(/"status"/), /"status": "running"/)

    await becomes(() => readFileSync(log, 'utf8').includes('vmbridge-guest ready'))
    const guest = await dial(t, serial)
    guest.socket.write('n1 udhcpc -i eth0 -n -q -t 10 -T 1 -s /etc/udhcpc && cat /tmp/lease.env\n')
    t.equal(await guest.line(/^n1 = /), 'n1 = 0')
    const [, base64] = / - (\S+)$/.exec(await guest.line(/^n1 - /))!
    const lease = Buffer.from(base64, 'base64').toString()
    t.match(lease, /^router=192\.168\.105\.1$/m)
    const [, ip] = /^ip=(\S+)$/m.exec(lease)!
    t.ok(await answers(netns, ip), `the host reaches ${ip}`)
    guest.socket.write('n2 ping -c 1 -W 5 192.168.105.1\n')
    t.equal(await guest.line(/^n2 = /), 'n2 = 0', 'and the VM reaches the host there')

    qmp.socket.write('{"execute":"quit"}\n')
    await daemon.waitForLine(/^INFO \| Closing a connection/)
    await becomes(() => !existsSync(`/proc/${pid}`))
  },
)

t.test('minikube greps what the client says where no daemon is', { skip }, async t => {
  const path = join(place(t), 'none')
  const { code, text } = await cmdRun(t, [CLIENT, path, 'qemu-system-aarch64', '-daemonize'])
  t.strictSame(
    { code, text },
    { code: 1, text: `Failed to connect to "${path}": No such file or directory\n` },
  )
})

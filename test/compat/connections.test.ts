// What passes over socket_vmnet's socket: acceptance 6 as far as it is about connections, the DHCP range, and that nobody
// who reads its log badly is in the way.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { namespace } from '../clients/host.js'
import { acquire } from '../clients/raw.js'
import { BROADCAST, Station, textFrame } from '../daemon/station.js'
import { Client } from '../dhcp/segment.js'
import { Child } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { COMPAT_NEEDS, place, plug, SOCKET_VMNET, startSocketVmnet, withMounts } from './socket-vmnet.js'

t.setTimeout(600_000)

const skip = requires(COMPAT_NEEDS)
const A = '52:54:00:00:00:0a'
const GATEWAY = '--vmnet-gateway=192.168.105.1'

t.test(
  'a reader of stderr who stalls stops neither the start, nor a frame, nor the end',
  { skip },
  async t => {
    const folder = place(t)
    const [socket, pidfile] = [join(folder, 's'), join(folder, 'p')]
    // A pipe that nobody reads, full before the start; without a gateway the first line is a warning.
    const script = '{ head -c 65536 /dev/zero >&2; exec "$@"; } 2>&1 >/dev/null | sleep 600'
    const program = withMounts({ '/var/lib': folder }, [SOCKET_VMNET, '--pidfile', pidfile, socket])
    const holder = Child.launch((await namespace(t)).wrap(['sh', '-c', script, 'sh', ...program]), {
      env: { DEBUG: '1' },
    })
    t.teardown(() => holder.close())
    const deadline = performance.now() + 30_000
    while (!existsSync(pidfile) && performance.now() < deadline) await setTimeout(20)
    const pid = Number(readFileSync(pidfile, 'utf8'))
    const [a, b] = [await Station.connect(t, socket), await Station.connect(t, socket)]
    // Sent until it comes: the log cannot say when both ports are there.
    const again = setInterval(() => a.send(textFrame(BROADCAST, A, 'still there')), 20)
    await b.receive('still there', 20_000).finally(() => clearInterval(again))
    const start = performance.now()
    process.kill(pid, 'SIGTERM')
    while (existsSync(pidfile) && performance.now() - start < 5000) await setTimeout(10)
    t.ok(performance.now() - start < 5000)
    t.notOk(existsSync(socket))
  },
)

t.test(
  'length 0, 65537, 0xFFFFFFFF, or an end inside a frame: that port alone is closed',
  { skip },
  async t => {
    const running = await startSocketVmnet(t, { netns: await namespace(t), args: [GATEWAY] })
    const [a, b] = [await plug(t, running), await plug(t, running)]
    for (const [name, bytes] of [
      ['0', [0, 0, 0, 0]],
      ['65537', [0, 1, 0, 1]],
      ['0xFFFFFFFF', [255, 255, 255, 255]],
      ['an end inside', [0, 0, 0, 60, 1, 2, 3]],
    ] as const) {
      const from = running.child.lines.length
      const hostile = await plug(t, running)
      hostile.write(Uint8Array.from(bytes))
      if (name === 'an end inside') await hostile.close()
      await hostile.closed
      await running.child.waitForLine(/^WARN \| vm\d+ was closed: /, { from })
      await running.child.waitForLine(/^INFO \| Closing a connection \(fd \d+\)$/, { from })
      a.send(textFrame(BROADCAST, A, `after ${name}`))
      await b.receive(`after ${name}`)
      t.pass(name)
    }
  },
)

t.test('connect-and-close 1000 times: no descriptor or memory growth', { skip }, async t => {
  const { child, socket } = await startSocketVmnet(t, { netns: await namespace(t), args: [GATEWAY] })
  const descriptors = () => readdirSync(`/proc/${child.pid}/fd`).length
  const resident = () =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1])
  const churn = async (times: number) => {
    // Not more at a time than the listening socket's queue holds.
    for (let count = 0; count < times; count += 50) {
      for (let i = 0; i < 50; i++)
        await new Promise<void>((resolve, reject) => {
          const peer = connect(socket, () => peer.destroy())
          peer.once('close', () => resolve()).once('error', reject)
        })
      await Station.isTheirTurn(t, socket)
    }
  }
  await churn(1000)
  const before = descriptors()
  // A port has some 8 KiB of lists: a thousand that stayed would be 8 MiB, of each thousand. What a process keeps of its
  // own accord, and what waits for its collector, it has at some time.
  const grown: number[] = []
  do {
    const resident0 = resident()
    await churn(1000)
    grown.push(resident() - resident0)
  } while (grown.at(-1)! >= 4 * 1024 && grown.length < 20)
  const deadline = performance.now() + 30_000
  while (descriptors() > before && performance.now() < deadline) await setTimeout(5)
  t.ok(descriptors() <= before, `${before} descriptors, as before`)
  t.ok(grown.at(-1)! < 4 * 1024, `${grown.join(', ')} KiB`)
})

t.test('the DHCP range is vmnet’s: behind the gateway, up to dhcp-end', { skip }, async t => {
  const netns = await namespace(t)
  const small = await startSocketVmnet(t, { netns, args: [GATEWAY, '--vmnet-dhcp-end=192.168.105.3'] })
  const vm = await plug(t, small)
  const leased = [await acquire(vm, new Client(1)), await acquire(vm, new Client(2))]
  t.strictSame(leased.sort(), ['192.168.105.2', '192.168.105.3'])
  t.equal(await acquire(vm, new Client(3), { tries: 2 }), undefined, 'and no more')
  await small.child.close('SIGTERM')

  const args = ['--vmnet-gateway=10.1.2.7', '--vmnet-mask=255.255.0.0']
  const large = await startSocketVmnet(t, { netns, args })
  t.match(
    large.child.text(2),
    /^INFO \| DHCP leases 10\.1\.2\.8-10\.1\.2\.254\b/m,
    '.254 of the /24, whatever the mask',
  )
  await large.child.close('SIGTERM')

  const none = await startSocketVmnet(t, { netns, args: [GATEWAY, '--vmnet-disable-dhcp'] })
  t.equal(await acquire(await plug(t, none), new Client(4), { tries: 2 }), undefined, 'off when it is asked')
})

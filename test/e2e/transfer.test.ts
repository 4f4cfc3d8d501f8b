// Two real VMs and the host on one segment: they get their addresses from the daemon, find each other, and
// move 10 MB every way over TCP, unchanged and unheard by the third.

import { readlinkSync } from 'node:fs'
import t from 'tap'
import {
  fetchToGuest,
  fetchToHost,
  HOST_IP,
  lease,
  publishFromGuest,
  publishFromHost,
  startLab,
  TAP,
  TEN_MB,
} from '../helpers/lab.js'
import { GUEST_LAB, requires } from '../helpers/requires.js'

t.setTimeout(240_000)

const RECEIVED_BYTES = (device: string) => `/sys/class/net/${device}/statistics/rx_bytes`

/** TCP segments that came with a wrong checksum: TCP mends what a switch damages, but it keeps count. */
const damagedSegments = (snmp: string) => {
  const [names, values] = snmp.split('\n').filter(line => line.startsWith('Tcp:'))
  return Number(values.split(' ')[names.split(' ').indexOf('InCsumErrors')])
}

t.test('two VMs and the host on one segment', { skip: requires(GUEST_LAB) }, async t => {
  const lab = await startLab(t)
  const { host, daemon, a, b } = lab
  let ipA = ''
  let ipB = ''

  await t.test('`vmbridge run` became QEMU: the same pid', async t => {
    t.match(readlinkSync(`/proc/${a.pid}/exe`), /qemu-system-aarch64/, 'its executable is QEMU')
  })

  await t.test('both VMs lease an address by DHCP', async t => {
    const [leaseA, leaseB] = await Promise.all([lease(a), lease(b)])
    ipA = leaseA.ip
    ipB = leaseB.ip
    t.not(ipA, ipB, 'two VMs, two addresses')
    for (const told of [leaseA, leaseB]) {
      const last = Number(/^192\.168\.105\.(\d+)$/.exec(told.ip)?.[1])
      t.ok(last >= 2 && last <= 199, `${told.ip} is of the default range .2 to .199`)
      t.equal(told.subnet, '255.255.255.0', 'the mask is that of the /24')
      t.equal(told.router, HOST_IP, 'the host is the router')
      t.ok(Number(told.lease) > 0, 'the lease has an end')
    }
    const { leases } = (await daemon.status()).networks[0]
    t.equal(leases.find(({ mac }) => mac === a.mac)?.ip, ipA, "status shows A's lease")
    t.equal(leases.find(({ mac }) => mac === b.mac)?.ip, ipB, "status shows B's lease")
  })

  await t.test('every station pings every other', async t => {
    for (const [from, to] of [
      [a, HOST_IP],
      [b, HOST_IP],
      [a, ipB],
      [b, ipA],
    ] as const) {
      t.match(await from.sh(`ping -c 2 -W 2 ${to}`), / 0% packet loss/, `${from.name} pings ${to}`)
    }
    for (const ip of [ipA, ipB]) {
      t.match(
        await host.sh('ping', '-n', '-c', '5', '-i', '0.05', '-W', '2', ip),
        / 0% packet loss/,
        `host pings ${ip}`,
      )
    }
  })

  await t.test('10 MB each way over TCP arrive as they were sent', async t => {
    const [sumA, sumB, { sum: sumHost }] = await Promise.all([
      publishFromGuest(a),
      publishFromGuest(b),
      publishFromHost(lab),
    ])
    t.equal(await fetchToHost(lab, ipA), sumA, 'A to the host')
    t.equal(await fetchToGuest(a, HOST_IP), sumHost, 'the host to A')

    // The FDB knows all three by now: what two say to each other is not for the third. A listens to
    // everything meanwhile, for QEMU's NIC would drop what is not for it before it counts; a TAP never does.
    await a.sh('ip link set eth0 promisc on')
    const heardByA = async () => Number(await a.sh(`cat ${RECEIVED_BYTES('eth0')}`))
    const heardByHost = async () => Number(await host.sh('cat', RECEIVED_BYTES(TAP)))
    const beforeA = await heardByA()
    t.equal(await fetchToHost(lab, ipB), sumB, 'B to the host')
    t.equal(await fetchToGuest(b, HOST_IP), sumHost, 'the host to B')
    const overheardByA = (await heardByA()) - beforeA
    t.ok(overheardByA < TEN_MB / 100, `A heard ${overheardByA} bytes of 20 MB between B and the host`)

    const beforeHost = await heardByHost()
    t.equal(await fetchToGuest(b, ipA), sumA, 'A to B')
    t.equal(await fetchToGuest(a, ipB), sumB, 'B to A')
    const overheardByHost = (await heardByHost()) - beforeHost
    t.ok(overheardByHost < TEN_MB / 100, `the host heard ${overheardByHost} bytes of 20 MB between A and B`)

    t.equal(damagedSegments(await a.sh('cat /proc/net/snmp')), 0, 'no segment came damaged to A')
    t.equal(damagedSegments(await b.sh('cat /proc/net/snmp')), 0, 'nor to B')
    t.equal(damagedSegments(await host.sh('cat', '/proc/net/snmp')), 0, 'nor to the host')
  })

  await t.test('status knows who is where and how much went by', async t => {
    const { ports, fdb } = (await daemon.status()).networks[0]
    for (const [guest, ip] of [
      [a, ipA],
      [b, ipB],
    ] as const) {
      const port = ports.find(({ macs }) => macs.includes(guest.mac))
      t.equal(port?.role, 'vm', `${guest.name} is a VM's port`)
      t.match(port?.ips, [ip], `${guest.name} has its lease`)
      t.equal(
        fdb.find(({ mac }) => mac === guest.mac)?.port,
        port?.name,
        `the FDB has ${guest.name} on its port`,
      )
      // 10 MB to each of the two others, and 10 MB from each.
      for (const way of ['rx', 'tx'] as const) {
        const { bytes, frames } = port![way]
        t.ok(bytes > 2 * TEN_MB, `${way}: ${bytes} bytes`)
        t.ok(frames > 0 && bytes / frames < 1515, `${way}: in ${frames} frames`)
      }
    }
    t.equal(ports.find(({ macs }) => macs.includes(a.mac))?.peer?.pid, a.pid, "A's peer is its QEMU")
    t.equal(ports.filter(({ role }) => role === 'uplink').length, 1, 'one uplink')
  })
})

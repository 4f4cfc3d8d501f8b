// The network that an uplink gives, shown with two real VMs and the host: leases, the way to the host and back,
// an address that one VM claims by gratuitous ARP and that moves to the other, addresses outside the pool that
// nobody leased. Here the uplink is a TAP in a namespace of its own, and the double of vmnet where that is
// built. On a Mac the same story runs on the machine itself, as root, over the uplink that is named:
//
//   VMBRIDGE_TEST_UPLINK='--uplink vmnet --mode shared' scripts/macos-guests
//
// which .github/workflows/macos.yml does. What the story asks of the host, BSD's tools and Linux's both answer.

import t, { type Test } from 'tap'
import type { Guest } from '../helpers/guest.js'
import { answers, becomesMacBehind, Host, macBehind } from '../helpers/host.js'
import { HOST_IP, type Lab, lease, startLab } from '../helpers/lab.js'
import { type Need, GUEST_LAB, requires } from '../helpers/requires.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'
import { VMNET_NETWORKS } from './vmnet-networks.js'

t.setTimeout(1_200_000)

// All three lie outside the pool, which ends at .199: by vmbridge's own default, and by --dhcp-end.
const VIP = '192.168.105.240'
const STATIC_A = '192.168.105.230'
const STATIC_B = '192.168.105.231'

const ON_MAC = process.platform === 'darwin'
const NAMED = process.env.VMBRIDGE_TEST_UPLINK?.split(' ').filter(Boolean)
const ON_A_MAC: readonly Need[] = ['root', 'qemu-system-aarch64', 'guest', 'ping', 'curl']

const announce = (ip: string) => `
  ip addr add ${ip}/32 dev eth0
  arping -q -U -c 1 -w 1 -I eth0 -s ${ip} ${ip} &
`
const giveUp = (ip: string) => `ip addr del ${ip}/32 dev eth0`

/** What the web server behind an address says: the name of the VM that it runs on. */
const servedAt = (host: Host, ip: string) =>
  host.sh('curl', '--silent', '--show-error', '--fail', '--max-time', '10', `http://${ip}/`)

async function storyOfTheUplink(t: Test, { host, a, b }: Lab): Promise<void> {
  const each = (step: (guest: Guest) => Promise<void>) => Promise.all([step(a), step(b)])
  const leased = new Map<Guest, string>()

  await t.test('both VMs lease an address of the subnet', async t => {
    await each(async guest => {
      const told = await lease(guest)
      leased.set(guest, told.ip)
      const last = Number(/^192\.168\.105\.(\d+)$/.exec(told.ip)?.[1])
      t.ok(last >= 2 && last <= 199, `${guest.name} got ${told.ip}`)
      t.equal(told.router, HOST_IP, 'the host is the router')
    })
    t.not(leased.get(a), leased.get(b), 'two VMs, two addresses')
  })

  await t.test('the host and the VMs reach each other', async t => {
    for (const [guest, ip] of leased) {
      t.ok(await answers(host, ip), `the host pings ${guest.name}`)
      t.equal(await macBehind(host, ip), guest.mac, "by the VM's own MAC")
      t.match(await guest.sh(`ping -c 2 -W 5 ${HOST_IP}`), / 0% packet loss/, `${guest.name} pings the host`)
    }
    t.match(await a.sh(`ping -c 2 -W 5 ${leased.get(b)!}`), / 0% packet loss/, 'one VM pings the other')
  })

  await t.test('an address that nobody leased: A announces it, and the host reaches it', async t => {
    await each(async guest => {
      await guest.sh(`mkdir -p /tmp/www && echo ${guest.name} >/tmp/www/index.html && httpd -h /tmp/www`)
    })
    await a.sh(announce(VIP))
    t.ok(await answers(host, VIP), 'the host pings it')
    t.equal(await macBehind(host, VIP), a.mac, "the host's neighbour table has A's MAC")
    t.equal(await servedAt(host, VIP), 'a\n', 'the web server on A answers at it')
  })

  await t.test('it moves to B with an announcement, and the host follows', async t => {
    await a.sh(giveUp(VIP))
    await b.sh(announce(VIP))
    // Before the host asks for it: a host that has doubts asks the segment, and would find B by that.
    t.ok(await becomesMacBehind(host, VIP, b.mac), 'the announcement alone puts B into its neighbour table')
    t.ok(await answers(host, VIP), 'the host pings it')
    t.equal(await servedAt(host, VIP), 'b\n', 'the web server on B answers at it')
  })

  await t.test('addresses outside the pool, with no lease at all, pass both ways', async t => {
    for (const [guest, ip] of [
      [a, STATIC_A],
      [b, STATIC_B],
    ] as const) {
      await guest.sh(`ip addr flush dev eth0; ip addr add ${ip}/24 dev eth0`)
      t.match(await guest.sh(`ping -c 2 -W 5 ${HOST_IP}`), / 0% packet loss/, `${guest.name} pings the host`)
      t.ok(await answers(host, ip), `the host pings ${guest.name}`)
      t.equal(await servedAt(host, ip), `${guest.name}\n`, 'and it is the right one')
    }
    t.match(await a.sh(`ping -c 2 -W 5 ${STATIC_B}`), / 0% packet loss/, 'one VM pings the other')
  })
}

if (NAMED && ON_MAC) {
  t.test(`the network of ${NAMED.join(' ')}`, { skip: requires(ON_A_MAC) }, async t => {
    await storyOfTheUplink(t, await startLab(t, { host: new Host(), uplink: NAMED }))
  })
} else if (NAMED) {
  t.test(`the network of ${NAMED.join(' ')}`, { skip: requires(GUEST_LAB) }, async t => {
    await storyOfTheUplink(t, await startLab(t, { uplink: NAMED }))
  })
} else if (ON_MAC) {
  t.test('a network of vmnet', { skip: 'VMBRIDGE_TEST_UPLINK names no uplink for this machine' }, () => {})
} else {
  t.test('the network of a TAP', { skip: requires(GUEST_LAB) }, async t => {
    await storyOfTheUplink(t, await startLab(t))
  })
  for (const { macos, uplink } of VMNET_NETWORKS) {
    const skip = requires([...GUEST_LAB, ...VARIANT_NEEDS])
    t.test(`the double's network of ${uplink}, as if on macOS ${macos}`, { skip }, async t => {
      const env = { ...variantEnv('double'), VMNET_DOUBLE_MACOS: macos }
      await storyOfTheUplink(t, await startLab(t, { uplink: uplink.split(' '), env }))
    })
  }
}

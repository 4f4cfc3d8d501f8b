// What vmbridge is for: an address that a VM claims by announcing it is reachable from the host at once,
// and follows the announcement to another VM. The control shows that it is the announcement which does it:
// a VIP that moves in silence stays lost.

import t, { type Test } from 'tap'
import type { Child } from '../helpers/child.js'
import type { Guest } from '../helpers/guest.js'
import { type Lab, type LabOptions, lease, neighbour, startLab, TAP } from '../helpers/lab.js'
import { GUEST_LAB, requires } from '../helpers/requires.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'

t.setTimeout(1_200_000)

const PING_INTERVAL = 0.05
// The control watches for this long; the host's own doubts (RFC 4861's and ARP's alike: 15 s of certainty at
// least, then 5 s of delay and three probes) begin much later.
const SILENCE = 3

type Family = {
  name: string
  vip: string
  url: string
  ping: string[]
  /** Shell for a guest: take the address without a word, take it and announce it, give it up. */
  takeSilently: string
  takeAndAnnounce: string
  giveUp: string
}

const IPV4: Family = {
  name: 'IPv4, by gratuitous ARP',
  vip: '192.168.105.200',
  url: 'http://192.168.105.200/',
  ping: ['ping', '-4'],
  takeSilently: 'ip addr add 192.168.105.200/32 dev eth0',
  takeAndAnnounce: `
    ip addr add 192.168.105.200/32 dev eth0 2>/dev/null
    arping -q -U -c 1 -w 1 -I eth0 -s 192.168.105.200 192.168.105.200 &
  `,
  giveUp: 'ip addr del 192.168.105.200/32 dev eth0',
}

// Where ndisc_notify is set the kernel announces an address (RFC 4861 §7.2.6) as soon as duplicate detection
// has passed it, which is at once where accept_dad is 0.
const IPV6: Family = {
  name: 'IPv6, by an unsolicited neighbour advertisement',
  vip: 'fd00:105::c8',
  url: 'http://[fd00:105::c8]/',
  ping: ['ping', '-6'],
  takeSilently: `
    echo 0 >/proc/sys/net/ipv6/conf/eth0/ndisc_notify
    ip -6 addr add fd00:105::c8/128 dev eth0
  `,
  takeAndAnnounce: `
    echo 1 >/proc/sys/net/ipv6/conf/eth0/ndisc_notify
    ip -6 addr del fd00:105::c8/128 dev eth0 2>/dev/null
    ip -6 addr add fd00:105::c8/128 dev eth0
  `,
  giveUp: 'ip -6 addr del fd00:105::c8/128 dev eth0',
}

const REPLY = /^\[(\d+\.\d+)\] \d+ bytes from /
const NO_ANSWER = /^\[\d+\.\d+\] no answer yet/

/** When replies came, in seconds since the epoch. */
const replyTimes = (ping: Child) =>
  ping.lines.map(({ text }) => Number(REPLY.exec(text)?.[1])).filter(time => !Number.isNaN(time))

const largestGap = (times: readonly number[]) =>
  times.slice(1).reduce((widest, time, i) => Math.max(widest, time - times[i]), 0)

const now = () => Date.now() / 1000

/** A ping that runs until the test ends it; it is sure of its neighbour when it starts. */
async function startPing({ host }: Lab, { ping, vip }: Family): Promise<Child> {
  await host.sh('ip', 'neigh', 'flush', 'dev', TAP)
  await host.sh(...ping, '-n', '-c', '1', '-W', '2', vip)
  const running = host.spawn([...ping, '-n', '-D', '-O', '-i', String(PING_INTERVAL), '-w', '60', vip])
  await running.waitForLine(REPLY, { count: 10, timeoutMs: 5_000 })
  return running
}

async function storyOfTheVip(t: Test, lab: Lab, family: Family): Promise<void> {
  const { host, a, b } = lab
  const { vip, takeSilently, takeAndAnnounce, giveUp } = family
  const macOfVip = async () => (await neighbour(host, vip))?.lladdr
  const servedBy = () => host.sh('curl', '--silent', '--fail', '--max-time', '5', family.url)

  await t.test('A claims and announces the VIP: the host reaches it', async t => {
    await a.sh(takeAndAnnounce)
    const { stdout } = await host.exec([...family.ping, '-n', '-c', '3', '-i', '0.2', '-W', '2', vip])
    t.match(stdout, / 0% packet loss/, 'the host pings the VIP')
    t.equal(await macOfVip(), a.mac, "the host's neighbour table has A's MAC")
    t.equal(await servedBy(), 'a\n', 'the web server on A answers at the VIP')
  })

  await t.test('the VIP moves to B with an announcement: no ping gap over 1 s', async t => {
    const ping = await startPing(lab, family)
    const before = replyTimes(ping).length
    await a.sh(giveUp)
    await b.sh(takeAndAnnounce)
    const moved = ping.lines.length
    await ping.waitForLine(REPLY, { from: moved, count: 20, timeoutMs: 5_000 })
    await ping.close('SIGINT')
    const gap = largestGap(replyTimes(ping))
    t.ok(before >= 10, `${before} replies before the move`)
    t.ok(gap < 1, `the largest gap was ${gap.toFixed(3)} s`)
    t.equal(await macOfVip(), b.mac, "the host's neighbour table has B's MAC")
    t.equal(await servedBy(), 'b\n', 'the web server on B answers at the VIP')
  })

  await t.test('the control: the VIP moves back in silence, and the pings stay lost', async t => {
    const ping = await startPing(lab, family)
    await b.sh(giveUp)
    await a.sh(takeSilently)
    const silent = now()
    await ping.waitForLine(NO_ANSWER, { from: ping.lines.length, count: SILENCE / PING_INTERVAL })
    const late = replyTimes(ping).filter(time => time > silent)
    t.ok(now() - silent >= SILENCE * 0.9, `${(now() - silent).toFixed(1)} s went by`)
    t.equal(late.length, 0, 'not one reply in them')
    t.equal(await macOfVip(), b.mac, "the host still believes in B's MAC")

    const announced = now()
    const from = ping.lines.length
    await a.sh(takeAndAnnounce)
    await ping.waitForLine(REPLY, { from, count: 20, timeoutMs: 5_000 })
    const back = replyTimes(ping).find(time => time > announced)!
    await ping.close('SIGINT')
    t.ok(back - announced < 1, `announced at last, it answers after ${(back - announced).toFixed(3)} s`)
    t.equal(await servedBy(), 'a\n', 'and it is A that serves it')
  })
}

async function storyOfBothFamilies(t: Test, options: LabOptions): Promise<void> {
  const lab = await startLab(t, options)
  const { host, a, b } = lab
  await host.sh('ip', '-6', 'addr', 'add', 'fd00:105::1/64', 'dev', TAP, 'nodad')
  const prepare = async (guest: Guest, address: string) => {
    await lease(guest)
    await guest.sh(`echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip -6 addr add ${address}/64 dev eth0`)
    await guest.sh(`mkdir -p /tmp/www && echo ${guest.name} >/tmp/www/index.html && httpd -h /tmp/www`)
  }
  await Promise.all([prepare(a, 'fd00:105::a'), prepare(b, 'fd00:105::b')])
  for (const family of [IPV4, IPV6]) {
    await t.test(family.name, t => storyOfTheVip(t, lab, family))
  }
}

t.test('a VIP claimed by one VM and moved to another, on a TAP', { skip: requires(GUEST_LAB) }, t =>
  storyOfBothFamilies(t, {}),
)

t.test(
  'the same with --uplink vmnet, on the stand-in for vmnet.framework',
  { skip: requires([...GUEST_LAB, ...VARIANT_NEEDS]) },
  t =>
    storyOfBothFamilies(t, {
      uplink: ['--uplink', 'vmnet', '--mode', 'shared'],
      env: { ...variantEnv('double'), VMNET_DOUBLE_TAP: TAP },
    }),
)

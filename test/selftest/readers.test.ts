// What the system's programs say, read: recorded from Linux, and for macOS written after its manual pages and sources,
// since no Mac was at hand.

import t from 'tap'
import { likely } from '../../src/selftest/checks/host-ping.js'
import { readSwVers } from '../../src/selftest/checks/environment.js'
import { answerTimes, largestGap } from '../../src/selftest/checks/vip.js'
import { interfaceOn, readArp, readProcArp } from '../../src/selftest/host-side.js'
import { pingCommand, readPing } from '../../src/selftest/ping.js'
import { ip } from '../dhcp/segment.js'

const said = (stdout: string, stderr = '') => readPing({ status: 0, stdout, stderr })

t.test('ping: the replies, their times, and what it complains of', async t => {
  t.same(
    said(`PING 192.168.237.2 (192.168.237.2) 56(84) bytes of data.
64 bytes from 192.168.237.2: icmp_seq=1 ttl=64 time=0.712 ms
64 bytes from 192.168.237.2: icmp_seq=3 ttl=64 time=12 ms

--- 192.168.237.2 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 408ms
`),
    { sent: 3, replies: [1, 3], rtts: [0.712, 12], complaint: undefined },
  )
  t.same(
    said(
      `PING 192.168.237.2 (192.168.237.2): 56 data bytes
64 bytes from 192.168.237.2: icmp_seq=0 ttl=64 time=0.412 ms
Request timeout for icmp_seq 1

--- 192.168.237.2 ping statistics ---
2 packets transmitted, 1 packets received, 50.0% packet loss
`,
      'ping: sendto: No route to host\n',
    ),
    { sent: 2, replies: [0], rtts: [0.412], complaint: 'sendto: No route to host' },
  )
  t.match(said('From 192.168.237.1 icmp_seq=1 Destination Host Unreachable\n'), {
    replies: [],
    complaint: 'From 192.168.237.1 icmp_seq=1 Destination Host Unreachable',
  })
})

t.test('ping: a limit for a reply is in seconds here and in milliseconds on macOS', async t => {
  const target = ip('10.0.0.1')
  t.equal(pingCommand(target, 5, 10, 'linux').join(' '), 'ping -n -c 5 -i 0.2 -W 1 -w 10 10.0.0.1')
  t.equal(pingCommand(target, 5, 10, 'darwin').join(' '), 'ping -n -c 5 -i 0.2 -W 1000 -t 10 10.0.0.1')
})

t.test('neighbour tables', async t => {
  const linux = `IP address       HW type     Flags       HW address            Mask     Device
192.168.237.2    0x1         0x2         02:76:73:09:65:4a     *        vmbridge0
192.168.237.22   0x1         0x0         00:00:00:00:00:00     *        vmbridge0
`
  t.equal(readProcArp(linux, ip('192.168.237.2')), '02:76:73:09:65:4a')
  t.equal(readProcArp(linux, ip('192.168.237.22')), undefined, 'asked for and not answered')
  t.equal(readProcArp(linux, ip('192.168.237.3')), undefined)
  const macos = `? (192.168.237.2) at 2:76:73:9:65:4a on bridge100 ifscope [bridge]
? (192.168.237.22) at (incomplete) on bridge100 ifscope [bridge]
? (192.168.237.255) at ff:ff:ff:ff:ff:ff on bridge100 ifscope [bridge]
`
  t.equal(readArp(macos, ip('192.168.237.2')), '02:76:73:09:65:4a')
  t.equal(readArp(macos, ip('192.168.237.22')), undefined)
  t.equal(readArp(macos, ip('192.168.237.3')), undefined)
})

t.test('the interface of a subnet', async t => {
  const entry = { netmask: '', internal: false, family: 'IPv4', mac: '02:00:00:00:00:01' } as const
  const all = {
    lo: [{ ...entry, address: '127.0.0.1', cidr: '127.0.0.1/8' }],
    utun0: [{ ...entry, address: '10.0.0.7', cidr: '10.0.0.7/32' }],
    bridge100: [{ ...entry, address: '192.168.237.1', cidr: '192.168.237.1/24' }],
  }
  t.same(interfaceOn(ip('192.168.237.9'), all), {
    name: 'bridge100',
    mac: '02:00:00:00:00:01',
    ip: ip('192.168.237.1'),
  })
  t.equal(interfaceOn(ip('192.168.238.9'), all), undefined)
  t.equal(interfaceOn(ip('10.0.0.7'), all), undefined, 'a point-to-point address is no subnet')
})

t.test('the version of macOS', async t => {
  const text = 'ProductName:\t\tmacOS\nProductVersion:\t\t15.5\nBuildVersion:\t\t24F74\n'
  t.equal(readSwVers(text), 'macOS 15.5 (24F74)')
  t.equal(readSwVers(''), '? ? (?)')
})

t.test('what a ping that failed points to', async t => {
  const MAC = '02:76:73:00:00:01'
  const of = (
    complaint: string | undefined,
    arrived: number,
    at: string | undefined,
    platform?: NodeJS.Platform,
  ) => likely({ complaint }, arrived, at, MAC, platform)
  t.match(of(undefined, 0, '02:00:00:00:00:02'), /another MAC: a static entry/)
  t.match(of(undefined, 3, MAC), /replies are lost/)
  t.match(of('sendto: No route to host', 0, undefined, 'darwin'), /Local Network/)
  t.match(of('connect: No route to host', 0, undefined, 'linux'), /ip route get/)
  t.match(of('sendmsg: Operation not permitted', 0, MAC), /firewall/)
  t.match(of('connect: Network is unreachable', 0, undefined), /another network has this subnet/)
  t.match(of(undefined, 0, undefined), /ARP questions/)
  t.match(of(undefined, 0, MAC), /requests are lost/)
})

t.test('the gap of a move is between requests that were answered', async t => {
  const vip = ip('192.168.237.252')
  const echo = (sequence: number, at: number, answered = true) => ({ ip: vip, sequence, at, answered })
  const echoes = [echo(1, 0), echo(2, 200), echo(3, 400, false), echo(4, 600), echo(5, 800), echo(6, 1000)]
  t.same(answerTimes([...echoes, { ...echo(7, 1200), ip: 1 }], vip, [1, 2, 3, 5, 6, 7]), [0, 200, 800, 1000])
  t.equal(largestGap([0, 200, 800, 1000], 300), 600)
  t.equal(largestGap([0, 200], 300), Infinity, 'no answer after the move')
})

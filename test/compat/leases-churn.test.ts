// Acceptance 10 of the contract, under concurrent rewriting: minikube's parsing rules find every MAC in the leases file,
// leading-zero octets and DUID clients too, while two daemons' leases come and go and other programs replace the file by
// rename or rewrite it in place. Nobody who reads meanwhile finds a file that cannot be parsed.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { OwnLease } from '../../src/compat/dhcpd-leases.js'
import { formatIpv4, parseCidr } from '../../src/wire/ipv4.js'
import { formatMac } from '../../src/wire/mac.js'
import { scratch } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { ROOT } from '../helpers/root.js'
import { bootpd, keep, LATER, leftovers, until, type Kept } from './leases.js'
import { addressByOctets, addressByText, readLeases } from './minikube.js'

t.setTimeout(120_000)

const program = (name: string): string => join(ROOT, 'dist/test/compat', name)

/** A station of a network: every octet of its MAC needs no second digit, and each other one goes by a DUID. */
function leaseOf(subnet: number, station: number, host: number, round: number): OwnLease {
  const duid = Buffer.from(`ff00000${station}0002000000ab110${station}00`, 'hex')
  return {
    ip: subnet + 2 + host,
    mac: { hi: 0x0200 | ((subnet >>> 8) & 0xf), lo: 0x0a000f00 + station },
    expires: LATER + round * 1000,
    ...(station % 2 === 0 && { clientId: duid }),
  }
}

/** Leases that come, are renewed, move to other addresses and go, for so many rounds; at the end each station has one. */
async function churn({ leases, file }: Kept, subnet: number, rounds: number): Promise<void> {
  const change = (station: number, host: number, round: number): void => {
    const lease = leaseOf(subnet, station, host, round)
    const others = leases.filter(({ mac, ip }) => mac.lo !== lease.mac.lo && ip !== lease.ip)
    leases.splice(0, leases.length, ...others)
    if (round % 5 !== 0) leases.push(lease)
    file.changed()
  }
  for (let round = 1; round <= rounds; round++) {
    change(round % 8, (round * 7) % 11, round)
    await new Promise(resolve => setTimeout(resolve, round % 4))
  }
  for (let station = 0; station < 8; station++) change(station, station, rounds + 1 - (rounds % 5))
}

for (const how of ['rename', 'in-place']) {
  t.test(
    `minikube finds every MAC, and never fails to parse, beside a program that writes ${how}`,
    async t => {
      const path = join(scratch(t), 'leases')
      writeFileSync(path, bootpd('192.168.64.2', '2:0:0:0:0:99'))
      const launch = (name: string, ...args: string[]): Child => {
        const child = Child.launch([process.execPath, program(name), path, ...args], { stdin: true })
        t.teardown(() => child.close())
        return child
      }
      const subnets = [parseCidr('192.168.105.1/24')!, parseCidr('10.5.0.1/24')!]
      const kept = subnets.map((subnet, i) => keep(t, path, [], { subnet, suffix: `vmbridge-${i}` }))
      const reader = launch('leases-reader.js')
      await reader.waitForLine(/^begun$/)
      const writer = launch('leases-writer.js', how, '300', '7')
      await writer.waitForLine(/^begun$/)
      await Promise.all(kept.map((each, i) => churn(each, subnets[i]!.network, 500)))
      await writer.waitForLine(/^done$/, { timeoutMs: 60_000 })

      const ours = kept.flatMap(({ leases }) =>
        leases.map(({ ip, mac: { hi, lo } }) => [formatMac(hi, lo), formatIpv4(ip)] as const),
      )
      const theirs = [1, 2, 3, 4, 5, 6].map(i => [`2:7:0:0:0:${i}`, `172.16.7.${i}`] as const)
      const all = [...ours, ...theirs, ['2:0:0:0:0:99', '192.168.64.2'] as const]
      const missing = (wanted: typeof all): string[] => {
        const text = readLeases(path)
        return wanted
          .filter(([mac, ip]) => addressByText(text, mac) !== ip || addressByOctets(text, mac) !== ip)
          .map(([mac]) => mac)
      }
      t.equal(ours.length, 16)
      await until(() => missing(ours).length === 0, 'every MAC of ours is found')
      // Whatever became of its last one, its next write has all that it knows; and nothing of what it forgot.
      writer.stdin!.write('\n')
      await writer.exited
      await until(() => missing(all).length === 0, 'every MAC is found')
      await Promise.all(kept.map(({ file }) => file.close()))
      t.same(missing(all), [], 'and stays')
      t.same(leftovers(path), [])
      t.same(
        kept.flatMap(({ warnings }) => warnings()),
        [],
      )
      reader.stdin!.end('\n')
      await reader.exited
      t.match(reader.text(), /^begun\nread \d+ times\n$/)
    },
  )
}

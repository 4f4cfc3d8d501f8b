/**
 * The network comes up, and at the end it goes: uplink, sockets and DHCP server as the daemon builds them.
 */

import { existsSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { BridgeError } from '../../errors.js'
import { formatCidr, formatIpv4 } from '../../wire/ipv4.js'
import { formatMac } from '../../wire/mac.js'
import { interfaceOn } from '../host-side.js'
import { CheckFailure } from '../result.js'
import { poll, within } from '../wait.js'
import { ms } from '../words.js'
import type { Check } from './check.js'

/** More than an uplink's own limit for its start or its stop. */
const STOP_LIMIT = 20_000
/** How long the host may take to show an interface, or to be rid of it, in ms: other programs take part in that. */
const SHOW_LIMIT = 10_000

export const uplink: Check = {
  name: 'uplink',
  async run(lab) {
    const { network, settings, plan, signal, clock } = lab
    const start = clock.now()
    try {
      await network.start()
    } catch (error) {
      throw explain(error)
    }
    const took = clock.now() - start
    lab.isUp = true
    await lab.plug('a')
    await lab.plug('b')
    const { kind, name, state, detail: why } = network.uplink.status()
    if (state !== 'up') {
      throw new CheckFailure(`${kind} ${name ?? ''} is ${state}`, {
        expected: 'an uplink that is up',
        seen: why ?? state,
      })
    }
    const mtu = network.mtu
    const find = (): ReturnType<typeof interfaceOn> => interfaceOn(settings.gateway.address)
    const host = plan === 'own' ? await poll(find, SHOW_LIMIT, signal) : undefined
    if (plan === 'own' && host?.ip !== settings.gateway.address) {
      throw new CheckFailure(`no interface of the host has ${formatCidr(settings.gateway)}`, {
        expected: `an interface with ${formatCidr(settings.gateway)}`,
        seen: host === undefined ? 'none in that subnet' : `${host.name} with ${formatIpv4(host.ip)}`,
        likely: 'another network has this subnet already: choose one with --gateway',
      })
    }
    const stations = lab.stations.map(({ name, mac }) => `${name} ${formatMac(mac.hi, mac.lo)}`)
    const side = host === undefined ? '' : `, host ${host.name} ${host.mac} ${formatCidr(settings.gateway)}`
    return {
      detail: `${[kind, name].filter(Boolean).join(' ')} up in ${ms(took)}, MTU ${mtu}${side}; stations ${stations.join(', ')}`,
      measured: { kind, name, startMs: took, mtu, host: host?.name, hostMac: host?.mac, stations },
    }
  },
}

/** An error of the uplink says itself what to do. */
function explain(error: unknown): unknown {
  if (!(error instanceof BridgeError)) return error
  const { code, message, hint } = error
  const sudo = process.getuid?.() === 0 ? undefined : 'it was not started as root: sudo vmbridge selftest'
  const likely = [sudo, hint].filter(Boolean).join('; ')
  return new CheckFailure(message, { expected: 'a network that starts', seen: code, likely })
}

interface LogEntry {
  event?: string
  msg: string
  problem?: string
}

export const stop: Check = {
  name: 'stop',
  async run({ network, stations, settings, socket, plan, wasThere, clock, log }) {
    const start = clock.now()
    for (const station of stations) station.close()
    const stopped = await within(
      network.stop().then(() => true),
      STOP_LIMIT,
    )
    const took = clock.now() - start
    if (stopped === undefined) {
      throw new CheckFailure('the network does not stop', {
        expected: `the end of it within ${STOP_LIMIT / 1000} s`,
        seen: 'nothing',
        likely: 'the uplink waits for the system: the log says for what',
      })
    }
    const trouble = log.map(line => JSON.parse(line) as LogEntry).find(({ event }) => event === 'uplink.stop')
    if (trouble !== undefined) {
      throw new CheckFailure('the uplink did not stop as it should', {
        expected: 'an uplink that stops',
        seen: trouble.problem ?? trouble.msg,
      })
    }
    const left = network.switch.ports.map(({ name }) => `port ${name}`)
    if (existsSync(socket)) left.push(`socket ${socket}`)
    const { address } = settings.gateway
    // An interface that others had before stays theirs.
    const shows = plan === 'own' && !wasThere
    // Not the run's own signal: what Ctrl-C ended is stopped, too.
    const { signal } = new AbortController()
    const gone = await poll(() => (shows && hasAddress(address) ? undefined : true), SHOW_LIMIT, signal)
    if (gone === undefined) left.push(`an interface with ${formatIpv4(address)}`)
    if (left.length > 0) {
      throw new CheckFailure(`left behind: ${left.join(', ')}`, {
        expected: 'nothing left behind',
        seen: left.join(', '),
        likely: "on macOS the interface stays while another program's VMs are on the same network",
      })
    }
    const host = shows ? `, ${formatIpv4(address)} is gone from this host` : ''
    return { detail: `stopped in ${ms(took)}${host}`, measured: { stopMs: took } }
  },
}

const hasAddress = (ip: number): boolean =>
  Object.values(networkInterfaces()).some(all => all?.some(({ address }) => address === formatIpv4(ip)))

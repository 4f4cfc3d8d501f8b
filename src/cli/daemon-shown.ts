/**
 * What vmbridge.yaml means, with all that it leaves out: as a file that means the same.
 */

import { stringify } from 'yaml'
import type { Entries, NetworkWords } from '../config/file.js'
import { DEFAULT_LEASE_SECONDS } from '../dhcp/exchange.js'
import { DNS } from '../dhcp/options.js'
import { defaultRange } from '../dhcp/range.js'
import type { NetworkSettings } from '../daemon/settings.js'
import type { UplinkChoice } from '../uplink/uplink.js'
import { formatCidr, formatIpv4, formatIpv4Range } from '../wire/ipv4.js'
import type { DaemonConfig } from './daemon-config.js'
import { DHCP_KEY } from './daemon-networks.js'

type Shown = Record<string, unknown>

export function shownConfig({ settings, words }: DaemonConfig): Shown {
  const { control, rights, pidfile, user, logFile, logLevel, logFormat, networks } = settings
  return {
    control,
    ...given(words.top, 'socket-group'),
    'socket-mode': `0${rights.mode.toString(8)}`,
    ...(user === undefined ? {} : given(words.top, 'user')),
    ...(pidfile === undefined ? {} : { pidfile }),
    ...(logFile === undefined ? {} : { 'log-file': logFile }),
    'log-level': logLevel,
    'log-format': logFormat,
    networks: Object.fromEntries(
      networks.map(network => {
        const own = words.networks?.find(({ name }) => name === network.name)
        return [network.name, shownNetwork(network, own)]
      }),
    ),
  }
}

export function shownYaml(config: DaemonConfig): string {
  return stringify(shownConfig(config), { lineWidth: 0 })
}

function shownNetwork(settings: NetworkSettings, words: NetworkWords | undefined): Shown {
  const { sockets, dgrams = [], dials = [], uplink, gateway, mtu, stateDir, dhcp, answers } = settings
  const entries: Entries = words?.entries ?? new Map()
  const shown: Shown = {
    socket: oneOrMore(sockets),
    ...(dgrams.length > 0 && { dgram: oneOrMore(dgrams) }),
    ...(dials.length > 0 && { dial: oneOrMore(dials) }),
    uplink: uplinkText(uplink),
    ...('mode' in uplink && uplink.kind !== 'auto' && { mode: uplink.mode }),
    gateway: formatCidr(gateway),
    mtu,
    'state-dir': stateDir,
    [DHCP_KEY]: answers ? 'answer' : dhcp === undefined ? 'passthrough' : 'pool',
  }
  if (dhcp !== undefined) {
    const range = dhcp.range ?? defaultRange(gateway)
    if (range !== undefined) shown['dhcp-range'] = formatIpv4Range(range)
    const dns = dhcp.dns.length > 0 ? dhcp.dns : [gateway.address]
    if (!dhcp.options.has(DNS.code)) shown['dns'] = oneOrMore(dns.map(formatIpv4))
    shown['lease-time'] = `${dhcp.leaseSeconds ?? DEFAULT_LEASE_SECONDS}s`
    if (dhcp.leasesFile !== undefined) shown['leases-file'] = dhcp.leasesFile
  }
  // The rest as it was written: what is left out there has no value.
  for (const name of entries.keys())
    if (!Object.hasOwn(shown, name) && name !== 'no-dhcp') Object.assign(shown, given(entries, name))
  const reservations = (words?.reservations ?? []).map(({ entries: each }) =>
    Object.assign({}, ...[...each.keys()].map(name => given(each, name))),
  )
  return reservations.length > 0 ? { ...shown, reservations } : shown
}

function uplinkText(uplink: UplinkChoice): string {
  if (uplink.kind === 'socket') return `socket:${uplink.path}`
  return uplink.kind === 'tap' && uplink.name !== undefined ? `tap:${uplink.name}` : uplink.kind
}

/** The key as it was written, if it was. */
function given(entries: Entries, name: string): Shown {
  const words = entries.get(name)?.words
  return words === undefined ? {} : { [name]: oneOrMore(words.map(({ text }) => text)) }
}

const oneOrMore = (texts: string[]): string | string[] => (texts.length === 1 ? texts[0]! : texts)

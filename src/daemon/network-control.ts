/**
 * What the control API does to the networks of a daemon: looks at them, makes and removes those on demand. Who asked for a
 * change is in the log.
 */

import { isMaster } from '../control/access.js'
import type { DhcpMode, NetworkHandlers, NetworkSummary, Peer } from '../control/api.js'
import type { Logger } from '../log.js'
import { formatCidr } from '../wire/ipv4.js'
import type { Held } from './network-rules.js'
import type { Networks } from './networks.js'
import { servesItself, type NetworkSettings } from './settings.js'

export function networkHandlers(networks: Networks, log: Pick<Logger, 'info'>): NetworkHandlers {
  const summary = (held: Held): NetworkSummary => summaryOf(held, networks)
  const note = ({ pid, uid }: Peer, change: string, network: string): void => {
    const line = `PID ${pid} of user ${uid} ${change === 'network.add' ? 'wanted' : 'removed'} the network ${network}`
    log.info({ event: 'control.change', change, network, pid, uid }, line)
  }
  return {
    list: () => ({ networks: networks.list().map(summary) }),
    async ensure(wanted, peer) {
      const { isNew, ...held } = await networks.ensure(wanted, isMaster(peer))
      note(peer, 'network.add', held.network.settings.name)
      return { network: summary(held), isNew }
    },
    async remove(name, isForced, peer) {
      const removed = await networks.remove(name, isForced)
      note(peer, 'network.remove', name)
      return { removed: summary(removed) }
    },
  }
}

function summaryOf({ network, kind }: Held, networks: Networks): NetworkSummary {
  const { settings, uplink, vms } = network
  const { name, sockets, gateway } = settings
  const left = networks.timeLeft(name)
  return {
    name,
    kind,
    sockets,
    ...(servesItself(settings) ? {} : { gateway: formatCidr(gateway) }),
    uplink: uplink.status(),
    dhcp: dhcpModeOf(settings),
    ports: vms.ports.size,
    ...(left !== undefined && { until: new Date(Date.now() + left).toISOString() }),
  }
}

function dhcpModeOf({ dhcp, answers }: NetworkSettings): DhcpMode {
  if (dhcp !== undefined) return 'pool'
  return answers ? 'answer' : 'passthrough'
}

// A control socket with the real handlers behind it, on leases that the test wrote down: no switch, no DHCP server.

import { join } from 'node:path'
import { request } from 'node:http'
import { connect } from 'node:net'
import type { ControlHandlers, LeaseStatus, NetworkStatus } from '../../src/control/api.js'
import { ControlClient } from '../../src/control/client.js'
import { ControlServer } from '../../src/control/server.js'
import { dhcpOf, type ControlledNetwork, type LeaseServer } from '../../src/daemon/dhcp-control.js'
import type { DhcpLog } from '../../src/dhcp/lease-store.js'
import { Reservations } from '../../src/dhcp/reservations.js'
import { formatIpv4, parseCidr } from '../../src/wire/ipv4.js'
import { formatMac, type Mac } from '../../src/wire/mac.js'
import type { SocketRights } from '../../src/ports/claim.js'
import type { Scope } from '../helpers/daemon.js'
import { scratch } from '../cli/command.js'

export const WEB: LeaseStatus = {
  ip: '192.168.105.7',
  mac: '52:54:00:00:00:07',
  hostname: 'web',
  state: 'bound',
  expires: '2099-01-01T00:00:00.000Z',
}
export const DB: LeaseStatus = {
  ip: '192.168.105.8',
  mac: '52:54:00:00:00:08',
  clientId: '0152540000000a',
  state: 'bound',
  expires: '2099-01-01T00:00:00.000Z',
}
export const GONE: LeaseStatus = { ...WEB, ip: '192.168.105.9', mac: '52:54:00:00:00:09', state: 'expired' }

export class WrittenLeases implements LeaseServer {
  leases = [WEB, DB, GONE]
  /** What the next release fails with. */
  fails: Error | undefined

  status(): { leases: LeaseStatus[] } {
    return { leases: this.leases }
  }

  at(ip: number): LeaseStatus | undefined {
    return this.leases.find(each => each.ip === formatIpv4(ip))
  }

  async release(match: { ip: number } | { mac: Mac }): Promise<LeaseStatus[]> {
    if (this.fails) throw this.fails
    const ended = this.leases.filter(({ ip, mac, state }) =>
      state !== 'bound'
        ? false
        : 'ip' in match
          ? ip === formatIpv4(match.ip)
          : mac === formatMac(match.mac.hi, match.mac.lo),
    )
    if ('ip' in match) {
      const { ip } = match
      this.leases = this.leases.filter(each => each.state !== 'declined' || each.ip !== formatIpv4(ip))
    }
    this.leases = this.leases.map(lease => (ended.includes(lease) ? { ...lease, state: 'expired' } : lease))
    return ended
  }
}

export class LogLines implements DhcpLog {
  readonly lines: { fields: Record<string, unknown>; message: string }[] = []
  info(fields: object, message: string): void {
    this.lines.push({ fields: { ...fields }, message })
  }
  warn = this.info.bind(this)
  error = this.info.bind(this)
}

export type Served = Awaited<ReturnType<typeof serveDhcp>>

/** Serves until the test ends. `names`: of the networks, all of them with the same leases. */
export async function serveDhcp(t: Scope, rights: Partial<SocketRights> = {}, names = ['default']) {
  const folder = scratch(t)
  const path = join(folder, 'c')
  const log = new LogLines()
  const leases = new WrittenLeases()
  const reservations = new Reservations({
    path: join(folder, 'reservations.json'),
    subnet: parseCidr('192.168.105.1/24')!,
    taken: [parseCidr('192.168.105.1/24')!.address],
    log,
    clock: Date,
  })
  await reservations.load()
  const networks = names.map((name): ControlledNetwork => ({
    settings: { name },
    switch: { locate: (_, low) => (low === 7 ? { name: 'vm1' } : undefined) },
    dhcp: leases,
    reservations,
  }))
  const network = (name: string): NetworkStatus => ({
    name,
    kind: 'standing',
    sockets: [join(folder, name)],
    gateway: '192.168.105.1/24',
    mtu: 1500,
    uplink: { kind: 'none', state: 'up' },
    ports: [],
    fdb: [],
    neighbors: [],
    leases: [],
  })
  const status = () => ({ version: '0.0.0', pid: process.pid, uptime: 1, networks: names.map(network) })
  const server = new ControlServer({
    path,
    rights: { mode: 0o660, ...rights },
    log,
    handlers: { status, dhcp: name => dhcpOf(networks, name, log), networks: NO_NETWORKS },
  })
  server.start()
  t.teardown(() => server.close())
  return { folder, path, log, leases, reservations, networks, server, client: new ControlClient(path) }
}

/** Of a daemon that has none on demand, and is not asked for them here. */
const NO_NETWORKS: ControlHandlers['networks'] = {
  list: () => ({ networks: [] }),
  ensure: () => Promise.reject(new Error('not here')),
  remove: () => Promise.reject(new Error('not here')),
}

export type Answer = { status: number; type: string | undefined; body: string }

/** One request, answered. */
export const ask = (path: string, method: string, url: string, body?: string | Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, method, path: url }, response => {
      let text = ''
      response.on('data', chunk => (text += chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'], body: text }),
      )
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(body)
  })

/** Sends bytes as they are and resolves to what came until the other end closed, or until 500 ms were quiet. */
export const sendRaw = (path: string, bytes: string | Buffer): Promise<string> =>
  new Promise(resolve => {
    let answer = ''
    const socket = connect(path, () => socket.write(bytes))
    const end = (): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(500, end)
    socket.on('data', chunk => (answer += chunk.toString('latin1')))
    socket.on('close', end)
    socket.on('error', end)
  })

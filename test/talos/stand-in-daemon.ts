// Stands for the daemon: the routes of src/control/api.ts that a stand-in for QEMU asks, over a Unix socket, with what
// a test wants them to answer.

import { rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { NetworkSummary, NetworkWanted, ReservationRecord } from '../../src/control/api.js'
import type { Scope } from '../helpers/daemon.js'

export type Asked = { method: string; path: string; body: unknown }

type Answer = { status: number; body: unknown }

const refusal = (status: number, code: string, message: string, hint?: string): Answer => ({
  status,
  body: { error: { code, message, ...(hint !== undefined && { hint }) } },
})

export class FakeDaemon {
  readonly path: string
  readonly asked: Asked[] = []
  readonly networks = new Map<string, NetworkSummary>()
  readonly reservations = new Map<string, ReservationRecord[]>()
  /** Answers in place of the routes; undefined for what they answer. */
  instead: (asked: Asked) => Answer | undefined = () => undefined
  /** Where networks listen. */
  socketOf = (name: string): unknown => `/run/vmbridge/networks/${name}/vm.sock`
  #server: Server | undefined

  constructor(t: Scope, path: string) {
    this.path = path
    t.teardown(() => this.stop())
  }

  async start(): Promise<this> {
    rmSync(this.path, { force: true })
    const server = createServer((request, response) => {
      let text = ''
      request.on('data', chunk => (text += chunk))
      request.on('end', () => {
        const asked = {
          method: request.method ?? '',
          path: request.url ?? '',
          body: text === '' ? undefined : JSON.parse(text),
        }
        this.asked.push(asked)
        const { status, body } = this.instead(asked) ?? this.#answer(asked)
        response.writeHead(status, { connection: 'close' })
        response.end(JSON.stringify(body))
      })
    })
    this.#server = server
    await new Promise<void>(resolve => server.listen(this.path, resolve))
    return this
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    if (server?.listening) await new Promise(resolve => server.close(resolve))
  }

  refuse = refusal

  #answer({ method, path, body }: Asked): Answer {
    const { pathname, searchParams } = new URL(path, 'http://d')
    const network = searchParams.get('network') ?? ''
    switch (`${method} ${pathname.split('/').slice(0, 3).join('/')}`) {
      case 'GET /v1/status':
        return { status: 200, body: { version: '0.0.0', pid: 1, uptime: 1, networks: [] } }
      case 'GET /v1/networks':
        return { status: 200, body: { networks: [...this.networks.values()] } }
      case 'POST /v1/networks':
        return { status: 201, body: this.#ensure(body as NetworkWanted) }
      case 'GET /v1/reservations':
        return { status: 200, body: { network, reservations: this.reservations.get(network) ?? [] } }
      case 'POST /v1/reservations':
        return this.#reserve(network, body as ReservationRecord)
      case 'DELETE /v1/reservations':
        return this.#unreserve(network, decodeURIComponent(pathname.split('/')[3] ?? ''))
      default:
        return refusal(404, 'ERR_NOT_FOUND', `there is no ${pathname}`)
    }
  }

  #ensure({ gateway, dhcp = 'pool' }: NetworkWanted): { network: NetworkSummary; isNew: boolean } {
    const name = gateway.replace('/', '-')
    const there = this.networks.get(name)
    const network: NetworkSummary = there ?? {
      name,
      kind: 'demand',
      sockets: [this.socketOf(name) as string],
      gateway,
      uplink: { kind: 'none', state: 'up' },
      dhcp,
      ports: 0,
    }
    this.networks.set(name, network)
    return { network, isNew: there === undefined }
  }

  #reserve(network: string, wanted: ReservationRecord): Answer {
    if (!this.networks.has(network)) return refusal(404, 'ERR_NO_NETWORK', `there is no network ${network}`)
    const list = this.reservations.get(network) ?? []
    const other = list.find(({ ip, mac }) => ip === wanted.ip || mac === wanted.mac)
    if (other !== undefined && JSON.stringify(other) !== JSON.stringify(wanted))
      return refusal(409, 'ERR_RESERVATION_EXISTS', `${wanted.ip} is reserved`)
    if (other === undefined) list.push(wanted)
    this.reservations.set(network, list)
    return { status: 201, body: { network, reservation: wanted } }
  }

  #unreserve(network: string, which: string): Answer {
    const list = this.reservations.get(network) ?? []
    const at = list.findIndex(({ ip }) => ip === which)
    if (at < 0) return refusal(404, 'ERR_NO_RESERVATION', `there is none for ${which}`)
    const [removed] = list.splice(at, 1)
    return { status: 200, body: { network, removed } }
  }
}

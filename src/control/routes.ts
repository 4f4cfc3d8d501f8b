/**
 * What the paths of the control API lead to, and which HTTP status each error is answered with.
 */

import { BridgeError } from '../errors.js'
import type { ControlHandlers, DhcpHandlers, Peer } from './api.js'
import { reservationOf } from './body.js'
import { networkWantedOf } from './network-body.js'

/** What a route needs of a request. */
export interface Asked {
  /** Of the query. */
  isForced: boolean
  /** What stands behind the path's last slash, decoded; empty where nothing does. */
  which: string
  body: string
  peer: Peer
}

export interface Route {
  /** The peer must have the right to change things. */
  isChange?: true
  /** The HTTP status of success; 200 unless it says another. */
  status?: number
  run(handlers: ControlHandlers, network: string | undefined, asked: Asked): object | Promise<object>
}

type Methods = Readonly<Record<string, Route>>

const dhcp =
  (ask: (dhcp: DhcpHandlers, asked: Asked) => object | Promise<object>): Route['run'] =>
  (handlers, network, asked) =>
    ask(handlers.dhcp(network), asked)

/** By path; a path that ends in a slash takes one segment more. */
const ROUTES: Readonly<Record<string, Methods>> = {
  '/v1/status': { GET: { run: handlers => handlers.status() } },
  '/v1/networks': {
    GET: { run: ({ networks }) => networks.list() },
    POST: {
      isChange: true,
      status: 201,
      run: ({ networks }, _, { body, peer }) => networks.ensure(networkWantedOf(body), peer),
    },
  },
  '/v1/networks/': {
    DELETE: {
      isChange: true,
      run: ({ networks }, _, { which, isForced, peer }) => networks.remove(which, isForced, peer),
    },
  },
  '/v1/leases': { GET: { run: dhcp(each => each.leases()) } },
  '/v1/leases/': {
    DELETE: { isChange: true, run: dhcp((each, { which, peer }) => each.release(which, peer)) },
  },
  '/v1/reservations': {
    GET: { run: dhcp(each => each.reservations()) },
    POST: {
      isChange: true,
      status: 201,
      run: dhcp((each, { body, peer }) => each.reserve(reservationOf(body), peer)),
    },
  },
  '/v1/reservations/': {
    DELETE: { isChange: true, run: dhcp((each, { which, peer }) => each.unreserve(which, peer)) },
  },
}

/** Of errors that are not the daemon's fault. */
const STATUS: Readonly<Record<string, number>> = {
  ERR_BODY: 400,
  ERR_PATH: 400,
  ERR_WHICH: 400,
  ERR_WHICH_NETWORK: 400,
  ERR_NETWORK_WANTED: 400,
  ERR_RESERVATION_ADDRESS: 400,
  ERR_RESERVATION_HOSTNAME: 400,
  ERR_RESERVATION_MATCH: 400,
  ERR_RESERVATION_OPTIONS: 400,
  ERR_FORBIDDEN: 403,
  ERR_NOT_FOUND: 404,
  ERR_NO_NETWORK: 404,
  ERR_NO_LEASE: 404,
  ERR_NO_RESERVATION: 404,
  ERR_METHOD: 405,
  ERR_AMBIGUOUS: 409,
  ERR_NETWORK_BUSY: 409,
  ERR_NETWORK_DIFFERS: 409,
  ERR_NETWORK_EXISTS: 409,
  ERR_NETWORK_OVERLAP: 409,
  ERR_NETWORK_STANDING: 409,
  ERR_NETWORKS_FULL: 409,
  ERR_NO_DEMAND: 409,
  ERR_SUBNET_IN_USE: 409,
  ERR_NO_DHCP: 409,
  ERR_RESERVATION_EXISTS: 409,
  ERR_RESERVATIONS_FULL: 409,
  ERR_TOO_LARGE: 413,
}

export function statusOf(code: string): number {
  return Object.hasOwn(STATUS, code) ? STATUS[code] : 500
}

/** Where a request leads; throws ERR_NOT_FOUND, ERR_METHOD or ERR_PATH. Any text is taken. */
export function routeOf(
  method: string,
  url: string,
): { route: Route; which: string; network: string | undefined; isForced: boolean } {
  const cut = url.indexOf('?')
  const path = cut < 0 ? url : url.slice(0, cut)
  const folder = path.slice(0, path.lastIndexOf('/') + 1)
  const isWhole = Object.hasOwn(ROUTES, path) && !path.endsWith('/')
  const known = isWhole ? path : folder
  const segment = path.slice(known.length)
  if (!Object.hasOwn(ROUTES, known) || (!isWhole && segment === '')) {
    throw new BridgeError('ERR_NOT_FOUND', `there is no ${path.slice(0, 200)}`)
  }
  const methods = ROUTES[known]
  if (!Object.hasOwn(methods, method)) {
    throw new BridgeError(
      'ERR_METHOD',
      `${path.slice(0, 200)} answers ${Object.keys(methods).join(', ')} only`,
    )
  }
  const query = new URLSearchParams(cut < 0 ? '' : url.slice(cut))
  return {
    route: methods[method],
    which: decoded(segment),
    network: query.get('network') ?? undefined,
    isForced: query.get('force') === '1',
  }
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new BridgeError('ERR_PATH', 'the path holds a % that encodes nothing', {
      hint: '%25 is a % itself',
    })
  }
}

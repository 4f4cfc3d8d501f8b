/**
 * The resolvers of this host, as its resolv.conf(5) names them at the moment: VPNs and DHCP clients change it at any time.
 */

import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { isIP } from 'node:net'

/** As the C library does it: more are not asked, and without any there is one on this host. */
const MOST = 3
const NONE_NAMED = '127.0.0.1'
/** Bytes of the file that are read. */
const LONGEST = 65_536
/** Milliseconds between two looks at the file. */
const LOOK_AGAIN = 1000

export interface ResolversOptions {
  path: string
  /** One that is never asked: the relay itself. */
  except: string
  /** Monotonic ms. */
  now: () => number
}

export class Resolvers {
  readonly #options: ResolversOptions
  #list: readonly string[] = [NONE_NAMED]
  /** What tells one state of the file from another. */
  #seen = ''
  #looked = -Infinity

  constructor(options: ResolversOptions) {
    this.#options = options
  }

  /** Addresses, an IPv6 one with its zone where it has one; at least one, but for a host that names the relay alone. */
  list(): readonly string[] {
    const now = this.#options.now()
    if (now - this.#looked >= LOOK_AGAIN) {
      this.#looked = now
      this.#look()
    }
    return this.#list
  }

  /** A file that cannot be read is as it was last. */
  #look(): void {
    const { path, except } = this.#options
    try {
      const { ino, size, mtimeMs } = statSync(path)
      const seen = `${ino} ${size} ${mtimeMs}`
      if (seen === this.#seen) return
      this.#list = resolversIn(readStart(path)).filter(address => address !== except)
      this.#seen = seen
    } catch {
      // being replaced at this moment, or not there
    }
  }
}

/** The nameservers of a resolv.conf(5). */
export function resolversIn(text: string): string[] {
  const named = text
    .split('\n')
    .map(line => /^nameserver[ \t]+(\S+)/.exec(line)?.[1])
    .filter(address => address !== undefined && isIP(address) !== 0) as string[]
  return named.length === 0 ? [NONE_NAMED] : named.slice(0, MOST)
}

function readStart(path: string): string {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(LONGEST)
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, LONGEST, 0))
  } finally {
    closeSync(fd)
  }
}

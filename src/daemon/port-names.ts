/**
 * Names of ports that stay: a VM that comes back, after its own restart or the daemon's, is `vm3` as before, in the log,
 * in `status` and to the DHCP server.
 *
 * A name belongs to a station's MAC address. At connection, before a frame came, there is only a guess: the path or
 * address that the VM is reached by (`key`, which is no guess but final), or the process behind the socket, where it had
 * one port and that one is away. The first frame decides, before anything of it is forwarded: if its source is known and
 * nobody has that name, the port takes it, and then keeps it as long as it lives.
 *
 * A guest can forge another's address and have its name while that one is away. It gets nothing else by it; who comes
 * back meanwhile gets a new name, with which it is known from then on.
 *
 * Records are of ports that said a frame. There are 1024: the one that was away for longest goes first. Somebody with
 * the right to plug in can have them all forgotten, and nothing else.
 */

export interface PortRecord {
  /** `vm` and a number. */
  readonly name: string
  /** The source of the port's first frame: 48 bits, as hi * 2^32 + lo. */
  readonly mac: number
  readonly key?: string
  readonly pid?: number
  /** When that process started, in the system's own unit. */
  readonly start?: number
}

/** What is known of a VM when it connects. */
export interface Origin {
  /** By what it is reached, as in `dial:/path`: one VM at a time. */
  key?: string
  pid?: number
  start?: number | undefined
}

/** A port that is plugged in. */
export interface Named {
  readonly name: string
}

interface LivePort extends Named {
  name: string
  readonly origin: Origin
  /** Tells the port of another name; until its first frame alone. */
  readonly onRename: (name: string) => void
  isHeard: boolean
}

export interface PortNamesOptions {
  /** Those of an earlier life, the one away for longest first. */
  records?: readonly PortRecord[]
  /** Keys that somebody is sure to come back by: their names are for nobody else. */
  reserved?: readonly string[]
  onChange?: () => void
}

const MAX_RECORDS = 1024
export const PORT_NAME = /^vm[1-9]\d{0,14}$/

export class PortNames {
  /** By name, the latest at the end. */
  readonly #records = new Map<string, PortRecord>()
  readonly #live = new Map<string, LivePort>()
  readonly #reserved: ReadonlySet<string>
  /** The names of reserved keys, those included that said nothing and have no record. */
  readonly #ofKey = new Map<string, string>()
  readonly #onChange: () => void
  /** Of the names that are or were somebody's to come back to: no other port gets one, also when the record is gone. */
  #highest = 0

  constructor({ records = [], reserved = [], onChange = () => {} }: PortNamesOptions = {}) {
    this.#reserved = new Set(reserved)
    this.#onChange = () => {}
    for (const record of records) this.#keep(record)
    this.#onChange = onChange
  }

  /** The latest at the end. */
  get records(): PortRecord[] {
    return [...this.#records.values()]
  }

  /** A name for a port that is to be plugged in. */
  plug(origin: Origin, onRename: (name: string) => void): Named {
    const name = this.#guess(origin) ?? this.#fresh()
    const live: LivePort = { name, origin, onRename, isHeard: false }
    this.#live.set(name, live)
    this.#noteKey(live)
    return live
  }

  /** The first frame of a port came, from the station `mac` (48 bits). */
  hear(named: Named, mac: number): void {
    const live = named as LivePort
    if (live.isHeard) return
    live.isHeard = true
    const { key, pid, start } = live.origin
    const guess = this.#records.get(live.name)
    const isRight = guess !== undefined && (guess.mac === mac || (key !== undefined && guess.key === key))
    const known = isRight ? undefined : this.#recordOf(mac, live)
    if (known !== undefined) this.#take(known.name, live)
    this.#keep({
      name: live.name,
      mac,
      ...(key !== undefined && { key }),
      ...(pid !== undefined && start !== undefined && { pid, start }),
    })
  }

  unplug(named: Named): void {
    const { name, isHeard } = named as LivePort
    this.#live.delete(name)
    const record = this.#records.get(name)
    // Away since now.
    if (isHeard && record !== undefined) this.#keep(record)
  }

  #guess({ key, pid, start }: Origin): string | undefined {
    const free = this.records.filter(record => this.#isFree(record, key))
    if (key !== undefined) {
      const name = free.find(record => record.key === key)?.name ?? this.#ofKey.get(key)
      return name === undefined || this.#live.has(name) ? undefined : name
    }
    if (pid === undefined || start === undefined) return undefined
    const ofProcess = free.filter(record => record.pid === pid && record.start === start)
    return ofProcess.length === 1 ? ofProcess[0]!.name : undefined
  }

  /** The latest record of a MAC address whose name the port may have. */
  #recordOf(mac: number, live: LivePort): PortRecord | undefined {
    return this.records.findLast(
      record =>
        record.mac === mac && (this.#isFree(record, live.origin.key) || this.#isMistaken(record, live)),
    )
  }

  #isFree({ name, key }: PortRecord, ownKey: string | undefined): boolean {
    return !this.#live.has(name) && (key === undefined || key === ownKey || !this.#reserved.has(key))
  }

  /** Whether another port of the same process has the name by a guess, and said nothing yet. */
  #isMistaken({ name }: PortRecord, { origin }: LivePort): boolean {
    const other = this.#live.get(name)
    if (other === undefined || other.isHeard || other.origin.key !== undefined) return false
    return (
      origin.start !== undefined && origin.pid === other.origin.pid && origin.start === other.origin.start
    )
  }

  /** Gives a port a name; who had it by mistake gets the port's own. */
  #take(name: string, live: LivePort): void {
    const other = this.#live.get(name)
    const former = live.name
    this.#live.delete(former)
    this.#live.set(name, live)
    live.name = name
    this.#noteKey(live)
    if (other !== undefined) {
      this.#live.set(former, other)
      other.name = former
      other.onRename(former)
    }
    live.onRename(name)
  }

  /** Who is sure to come back has its name from the beginning. */
  #noteKey({ name, origin: { key } }: LivePort): void {
    if (key === undefined || !this.#reserved.has(key)) return
    this.#ofKey.set(key, name)
    this.#highest = Math.max(this.#highest, numberOf(name))
  }

  #fresh(): string {
    let highest = this.#highest
    for (const name of this.#live.keys()) highest = Math.max(highest, numberOf(name))
    return `vm${highest + 1}`
  }

  #keep(record: PortRecord): void {
    const { name } = record
    this.#highest = Math.max(this.#highest, numberOf(name))
    this.#records.delete(name)
    this.#records.set(name, record)
    if (this.#records.size > MAX_RECORDS) {
      for (const away of this.#records.keys()) {
        if (this.#live.has(away)) continue
        this.#records.delete(away)
        break
      }
    }
    this.#onChange()
  }
}

function numberOf(name: string): number {
  return Number(name.slice(2))
}

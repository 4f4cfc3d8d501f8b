/**
 * What is wrong with a file that people write: all of it at once, each with its place.
 */

import type { Place } from './yaml.js'

export interface Fault extends Place {
  /** What is wrong, in one line. */
  message: string
  /** What was meant, or what to do. */
  hint?: string
}

/** Nobody reads more; a hostile file has as many as it likes. */
const MOST_FAULTS = 100

export class Faults {
  readonly #placeOf: (at: number) => Place
  readonly #found = new Map<string, Fault>()
  #more = 0

  constructor(placeOf: (at: number) => Place) {
    this.#placeOf = placeOf
  }

  /** @param at the offset in the text */
  add(at: number, message: string, hint?: string): void {
    const place = this.#placeOf(at)
    const key = `${place.line}:${place.column}:${message}`
    if (this.#found.has(key)) return
    if (this.#found.size >= MOST_FAULTS) this.#more++
    else this.#found.set(key, { ...place, message, ...(hint === undefined ? {} : { hint }) })
  }

  lineOf(at: number): number {
    return this.#placeOf(at).line
  }

  get size(): number {
    return this.#found.size
  }

  /** In the order of the text. */
  list(): Fault[] {
    const faults = [...this.#found.values()].sort(
      (one, other) => one.line - other.line || one.column - other.column,
    )
    const last = faults.at(-1)
    if (last === undefined || this.#more === 0) return faults
    return [...faults, { line: last.line, column: last.column, message: `and ${this.#more} more` }]
  }
}

/** `FILE:3:5: what is wrong; what was meant`, as editors and compilers have it. */
export function faultLine(file: string, { line, column, message, hint }: Fault): string {
  return `${file}:${line}:${column}: ${message}${hint === undefined ? '' : `; ${hint}`}`
}

/**
 * An entry of the log in words: what people read of pino's JSON.
 */

import { printable } from './printable.js'

/** The line's fields that the message says already, or that say nothing to a person. */
const HIDDEN = new Set(['level', 'time', 'msg', 'event', 'err', 'fd'])
const NAMES: Record<number, string> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
}

/** What pino wrote: the level by its number, the time as ISO 8601, and the fields of who logged it. */
export type LogEntry = Record<string, unknown> & { level: number; time: string; msg?: string }

/** One JSON line of pino as a line for people: local time, level, and what it says; an error's stack below it. */
export function pretty(line: string): string {
  const entry = JSON.parse(line) as LogEntry
  const time = new Date(entry.time).toTimeString().slice(0, 8)
  const level = (NAMES[entry.level] ?? String(entry.level)).padEnd(5)
  return `${printable(`${time} ${level} ${describe(entry)}`)}\n`
}

/** The message, and the fields that it does not hold. */
export function describe(entry: LogEntry): string {
  const message = entry.msg ?? ''
  const words = new Set(message.split(/[\s,;()]+/))
  const says = (value: unknown): boolean => {
    const text = String(value)
    return /[\s,;()]/.test(text) ? message.includes(text) : words.has(text)
  }
  const fields = Object.entries(entry)
    .filter(
      ([name, value]) =>
        !HIDDEN.has(name) && !(Array.isArray(value) ? value.length > 0 && value.every(says) : says(value)),
    )
    .map(
      ([name, value]) =>
        ` ${name}=${typeof value === 'string' ? value.replaceAll('\n', '?') : JSON.stringify(value)}`,
    )
    .join('')
  return `${message}${fields}${stackOf(entry['err'])}`
}

function stackOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { stack, message } = error as { stack?: string; message?: string }
  return `\n${stack ?? message ?? ''}`
}

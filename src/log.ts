/**
 * The daemon's log, on stderr or in a file: JSON lines for collectors, or lines for people. Written without waiting: a
 * reader of stderr that stalls loses lines in the end, and never stops a frame.
 */

import { closeSync, openSync } from 'node:fs'
import { BridgeError } from './errors.js'
import { printable } from './printable.js'
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino'

export type Logger = PinoLogger
export type LogFormat = 'pretty' | 'json'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Bytes that may wait for a slow reader of stderr before lines are lost. */
const MAX_WAITING = 1024 * 1024

/** How long the end of the process waits for stderr, in ms. */
const FLUSH_PATIENCE = 200

export interface Log {
  logger: Logger
  /** Goes on in a new file of the same name, once the old one was renamed. Without a file it does nothing. */
  reopen(): void
  /** Writes out what still waits, at the end of the process; gives up on a reader that takes nothing. */
  flush(): Promise<void>
}

/** @throws BridgeError ERR_LOG_FILE */
export function openLog(level: LogLevel, format: LogFormat, file?: string): Log {
  if (file !== undefined) requireWritable(file)
  // A line is written at once if nothing is being written; minLength is 1, as with 0 flush() waits for nothing.
  const stderr = pino.destination({ dest: file ?? 2, sync: false, minLength: 1, maxLength: MAX_WAITING })
  // A closed stderr is no reason to stop switching.
  stderr.on('error', () => {})
  // Not stderr itself: pino would flush it at a fatal line, and wait for a reader that takes nothing.
  const destination: DestinationStream = {
    write: format === 'json' ? line => stderr.write(line) : line => stderr.write(pretty(line)),
  }
  return {
    logger: pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination),
    reopen: () => {
      if (file !== undefined) stderr.reopen()
    },
    flush: () =>
      new Promise(resolve => {
        setTimeout(resolve, FLUSH_PATIENCE)
        stderr.flush(() => resolve())
      }),
  }
}

function requireWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o644))
  } catch (cause) {
    throw new BridgeError('ERR_LOG_FILE', `cannot write ${file}: ${(cause as Error).message}`, {
      hint: 'choose another --log-file',
      cause,
    })
  }
}

/** The line's fields that the message says already, or that say nothing to a person. */
const HIDDEN = new Set(['level', 'time', 'msg', 'event', 'err'])
const NAMES: Record<number, string> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
}

/** One JSON line of pino as a line for people: local time, level, message, and the fields that it does not hold. */
export function pretty(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown> & { level: number; time: string; msg?: string }
  const time = new Date(entry.time).toTimeString().slice(0, 8)
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
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
  const level = (NAMES[entry.level] ?? String(entry.level)).padEnd(5)
  return `${printable(`${time} ${level} ${message}${fields}${stackOf(entry['err'])}`)}\n`
}

function stackOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { stack, message } = error as { stack?: string; message?: string }
  return `\n${stack ?? message ?? ''}`
}

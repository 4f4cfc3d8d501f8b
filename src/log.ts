/**
 * The daemon's log, on stderr: JSON lines for collectors, or lines for people. Written without waiting: a
 * reader of stderr that stalls loses lines in the end, and never stops a frame.
 */

import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino'

export type Logger = PinoLogger
export type LogFormat = 'pretty' | 'json'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Bytes that may wait for a slow reader of stderr before lines are lost. */
const MAX_WAITING = 1024 * 1024

export interface Log {
  logger: Logger
  /** Writes out what still waits, at the end of the process. */
  flush(): void
}

export function openLog(level: LogLevel, format: LogFormat): Log {
  const stderr = pino.destination({ fd: 2, sync: false, maxLength: MAX_WAITING })
  // A closed stderr is no reason to stop switching.
  stderr.on('error', () => {})
  const destination: DestinationStream =
    format === 'json' ? stderr : { write: line => stderr.write(pretty(line)) }
  return {
    logger: pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination),
    flush() {
      try {
        stderr.flushSync()
      } catch {
        // stderr is closed, or was never opened
      }
    },
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

/** One JSON line of pino as a line for people: local time, level, message, and the fields behind it. */
export function pretty(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown> & { level: number; time: string; msg?: string }
  const time = new Date(entry.time).toTimeString().slice(0, 8)
  const fields = Object.entries(entry)
    .filter(
      ([name, value]) =>
        !HIDDEN.has(name) && ![value].flat().every(each => entry.msg?.includes(String(each))),
    )
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('')
  return `${time} ${(NAMES[entry.level] ?? String(entry.level)).padEnd(5)} ${entry.msg ?? ''}${fields}${stackOf(entry['err'])}\n`
}

function stackOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { stack, message } = error as { stack?: string; message?: string }
  return `\n${stack ?? message ?? ''}`
}

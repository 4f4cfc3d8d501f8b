/**
 * The daemon's log, on stderr or in a file: JSON lines for collectors, or lines for people. Written without waiting: a
 * reader of stderr that stalls loses lines in the end, and never stops a frame.
 */

import { constants, openSync } from 'node:fs'
import { BridgeError, hasCode } from './errors.js'
import { pretty } from './log-text.js'
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino'

export type Logger = PinoLogger
/** A function makes of a line of pino's JSON what is written for it: whole lines, or nothing. */
export type LogFormat = 'pretty' | 'json' | ((line: string) => string)

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
  let sink = sinkTo(file === undefined ? 2 : openFile(file))
  const textOf = format === 'json' ? (line: string) => line : format === 'pretty' ? pretty : format
  // Not the sink itself: pino would flush it at a fatal line, and wait for a reader that takes nothing.
  const destination: DestinationStream = {
    write(line) {
      const text = textOf(line)
      if (text !== '') sink.write(text)
    },
  }
  const logger = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  return {
    logger,
    reopen() {
      if (file === undefined) return
      const old = sink
      try {
        // A sink of its own: pino's, opened anew by name, closes a descriptor twice after an attempt that failed.
        sink = sinkTo(openFile(file))
      } catch (error) {
        if (!(error instanceof BridgeError)) throw error
        return logger.warn(
          { event: 'log.reopen' },
          `${error.message}; the log goes on in the file that was open`,
        )
      }
      // What still waits for the old file is lost where that takes nothing any more.
      old.on('error', () => old.destroy())
      old.end()
    },
    flush: () =>
      new Promise(resolve => {
        setTimeout(resolve, FLUSH_PATIENCE)
        sink.flush(() => resolve())
      }),
  }
}

function sinkTo(fd: number): ReturnType<typeof pino.destination> {
  // A line is written at once if nothing is being written; minLength is 1, as with 0 flush() waits for nothing.
  const sink = pino.destination({ dest: fd, sync: false, minLength: 1, maxLength: MAX_WAITING })
  // A closed stderr, or a full disk, is no reason to stop switching.
  sink.on('error', () => {})
  return sink
}

/**
 * Opens a file to append to, without waiting for a reader of a FIFO. For root it is no symbolic link: who has the
 * folder would choose what root writes to. What the system itself has as links, such as /dev/stdout, is followed.
 */
function openFile(file: string): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
  const isAnyones = process.geteuid?.() === 0 && !file.startsWith('/dev/')
  try {
    return openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | (isAnyones ? O_NOFOLLOW : 0), 0o644)
  } catch (cause) {
    const reason = hasCode(cause, 'ELOOP')
      ? 'root writes it through no symbolic link'
      : (cause as Error).message
    throw new BridgeError('ERR_LOG_FILE', `cannot write ${file}: ${reason}`, {
      hint: 'choose another --log-file',
      cause,
    })
  }
}

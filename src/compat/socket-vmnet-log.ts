/**
 * The log as socket_vmnet writes it, on stderr: `INFO | …`, `WARN | …`, `ERROR| …` and `DEBUG| …`, a line an entry, without
 * the time. What people and programs look for is in socket_vmnet's words; everything else is in ours.
 */

import { describe, type LogEntry } from '../log-text.js'
import { printable } from '../printable.js'

/** vmnet's number of each mode, which the log shows. */
export const MODE_NUMBERS = { host: 1000, shared: 1001, bridged: 1002 } as const

export interface LineOptions {
  mode: keyof typeof MODE_NUMBERS
  /** With `DEBUG| …` lines: in our words too, what is said in socket_vmnet's. */
  isDebug: boolean
}

/** strsignal(3), which on macOS has the number behind the name. */
const SIGNAL_NAMES: Record<string, string> =
  process.platform === 'darwin'
    ? { SIGHUP: 'Hangup: 1', SIGINT: 'Interrupt: 2', SIGTERM: 'Terminated: 15' }
    : { SIGHUP: 'Hangup', SIGINT: 'Interrupt', SIGTERM: 'Terminated' }

/** Makes what turns a line of pino's JSON into lines of this log, or into nothing. */
export function socketVmnetLines({ mode, isDebug }: LineOptions): (line: string) => string {
  return line => {
    const entry = JSON.parse(line) as LogEntry
    const said = wordsFor(entry, mode)
    const level = said.length > 0 && !isFault(entry) ? 'DEBUG' : levelOf(entry.level)
    const own = level === 'DEBUG' && !isDebug ? '' : lineOf(level, describe(entry))
    return own + said.map(words => lineOf('INFO ', words)).join('')
  }
}

/** One line, whatever strangers wrote into it. */
export function lineOf(level: string, text: string): string {
  return `${level}| ${printable(text.trim().replace(/\s*\n\s*/g, ' '))}\n`
}

function levelOf(level: number): string {
  if (level <= 20) return 'DEBUG'
  return level <= 30 ? 'INFO ' : level <= 40 ? 'WARN ' : 'ERROR'
}

/** A connection that ended in another way than by the VM's end: why, only our words say. */
const isFault = ({ event, reason }: LogEntry): boolean => event === 'port.down' && reason !== 'eof'

/** What socket_vmnet says of it; nothing where it says nothing, or this is no matter of its own. */
function wordsFor(entry: LogEntry, mode: LineOptions['mode']): string[] {
  const { event, fd, path, reason, signal } = entry
  switch (event) {
    case 'uplink.open':
      return [`Initializing vmnet.framework (mode ${MODE_NUMBERS[mode]})`]
    case 'port.up':
      return typeof fd === 'number' ? [`Accepted a connection (fd ${fd})`] : []
    case 'port.down':
      if (typeof fd !== 'number') return []
      return [
        ...(reason === 'eof' ? [`Connection closed by peer (fd ${fd})`] : []),
        `Closing a connection (fd ${fd})`,
      ]
    case 'pidfile.created':
      return [`Created pidfile "${path}" for process ${process.pid}`]
    case 'pidfile.removed':
      return [`Removed pidfile "${path}" for process ${process.pid}`]
    case 'daemon.stop':
      return typeof signal === 'string' ? [`Received signal ${SIGNAL_NAMES[signal] ?? signal}`] : []
    default:
      return []
  }
}

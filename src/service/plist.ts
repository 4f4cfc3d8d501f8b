/**
 * The files of the service on macOS: launchd's property list, and newsyslog's line for the log.
 */

import type { ServiceDefinition } from './definition.js'

export type PlistValue = string | number | boolean | readonly PlistValue[] | { [key: string]: PlistValue }

/** launchd.plist(5); what each key is for stands beside it. */
export function launchdJob({ name, program, args, log = '/dev/null' }: ServiceDefinition): {
  [key: string]: PlistValue
} {
  return {
    Label: name,
    ProgramArguments: [program, ...args],
    // vmnet.framework wants root whenever an interface starts: also after sleep, and when a cable is back.
    UserName: 'root',
    RunAtLoad: true,
    // Whatever ended it, a signal of newsyslog included. `service stop` takes the job out of launchd.
    KeepAlive: true,
    // Seconds between two starts: launchd's own default, said here because it is what a crash costs.
    ThrottleInterval: 10,
    // Seconds from SIGTERM to SIGKILL: vmnet's own stop has a limit of ten.
    ExitTimeOut: 20,
    // Without it launchd holds CPU and I/O back, as for a job that nobody waits for: about half the speed.
    ProcessType: 'Interactive',
    // Decimal, as a property list has no octal: 022. The daemon makes /var/run/vmbridge, which is gone after every
    // boot, and all may enter it; who may plug in is the socket's mode and group.
    Umask: 0o022,
    // What is said before the daemon opens its --log-file, and by a crash of Node itself. launchd appends.
    StandardOutPath: log,
    StandardErrorPath: log,
  }
}

const HEAD = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
`

/** A property list in XML; `comment` stands at its head. */
export function renderPlist(value: PlistValue, comment: string): string {
  return `${HEAD}<!-- ${comment} -->\n<plist version="1.0">\n${render(value, '')}</plist>\n`
}

function render(value: PlistValue, indent: string): string {
  const inner = `${indent}\t`
  if (typeof value === 'string') return `${indent}<string>${escape(value)}</string>\n`
  if (typeof value === 'number') return `${indent}<integer>${value}</integer>\n`
  if (typeof value === 'boolean') return `${indent}<${value}/>\n`
  if (isList(value))
    return `${indent}<array>\n${value.map(item => render(item, inner)).join('')}${indent}</array>\n`
  const entries = Object.entries(value).map(
    ([key, item]) => `${inner}<key>${escape(key)}</key>\n${render(item, inner)}`,
  )
  return `${indent}<dict>\n${entries.join('')}${indent}</dict>\n`
}

const isList = (value: PlistValue): value is readonly PlistValue[] => Array.isArray(value)

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** KiB of a log before it is turned over, and how many old ones stay. */
const LOG_SIZE = 1024
const LOG_COUNT = 5

/** Darwin's SIGUSR2 (sys/signal.h), at which the daemon opens its log anew. SIGHUP, newsyslog's default, ends it. */
const SIGUSR2 = 31

/**
 * newsyslog.conf(5). A log that is renamed is written on under its old name by whoever has it open, so the daemon is
 * told. Old logs stay uncompressed: launchd's own descriptor still points to the last, and what a crash says goes there.
 */
export function newsyslogEntry({ log, pidfile }: ServiceDefinition): string {
  return [
    '# logfilename\towner:group\tmode\tcount\tsize\twhen\tflags\tpid_file\tsig_num',
    `${log}\troot:wheel\t644\t${LOG_COUNT}\t${LOG_SIZE}\t*\t-\t${pidfile}\t${SIGUSR2}`,
    '',
  ].join('\n')
}

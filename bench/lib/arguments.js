// The command line of run.js.

import { parseArgs } from 'node:util'
import { UsageError } from './errors.js'

/** The questions, in the order in which they are asked. */
export const QUESTIONS = [
  'control',
  'ceiling',
  'vde',
  'datagrams',
  'ports',
  'roundtrip',
  'memory',
  'idle',
  'vms',
  'guests',
  'dhcp',
]

export const usage = `usage: node run.js [options] [QUESTION]...

Asks all questions, or these: ${QUESTIONS.join(', ')}

  --pairs N        pairs for each ratio (5)
  --seconds S      measured time of each side of a pair (1); dhcp: of a fifth of a step
  --json [FILE]    write the results as JSON to FILE, or to stdout (the table goes to stderr then)
  --server 'CMD'   race this server of the same framing in place of vmbridge; {socket} is where it listens
  --against 'CMD'  vms, guests: race vmbridge against this server, which makes a TAP of the name that is in the
                   variable VMNET_DOUBLE_TAP and gives it 192.168.105.1/24; {socket} is where it listens
  --help

Exit status: 0 when everything was measured, whatever the goals say; 1 when not; 2 for a wrong command line.

  node run.js ceiling --pairs 9
  node run.js roundtrip --json results/roundtrip.json
  node run.js --server 'other-switch --listen {socket}' vde
  node run.js vms --against 'other/socket_vmnet --vmnet-gateway=192.168.105.1 {socket}'
`

const names = {
  pairs: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '1' },
  json: { type: 'string' },
  server: { type: 'string' },
  against: { type: 'string' },
  help: { type: 'boolean' },
}

// node:util knows no option whose value may be left out.
function withJsonTarget(args) {
  return args.flatMap((arg, at) => {
    const next = args[at + 1]
    return arg === '--json' && (next === undefined || next.startsWith('-')) ? ['--json=-'] : [arg]
  })
}

function parse(args) {
  try {
    return parseArgs({ args: withJsonTarget(args), options: names, allowPositionals: true })
  } catch (error) {
    throw new UsageError(`${error.message}\n${usage}`)
  }
}

function number(name, text, least, most) {
  const value = Number(text)
  if (text.trim() === '' || !(value >= least && value <= most)) {
    throw new UsageError(`--${name} ${text}: a number from ${least} to ${most} is wanted`)
  }
  return value
}

/** Reads the command line. Throws a UsageError. */
export function parseArguments(args) {
  const { values, positionals } = parse(args)
  const { pairs, seconds, json, server, against, help } = values
  const unknown = positionals.find(name => !QUESTIONS.includes(name))
  if (unknown !== undefined)
    throw new UsageError(`${unknown} is no question: one of ${QUESTIONS.join(', ')} is wanted`)
  for (const [name, command] of Object.entries({ server, against })) {
    if (command !== undefined && !command.includes('{socket}'))
      throw new UsageError(`--${name}: the command must hold {socket}`)
  }
  return {
    help,
    json,
    server,
    against,
    questions: QUESTIONS.filter(name => positionals.length === 0 || positionals.includes(name)),
    pairs: Math.round(number('pairs', pairs, 1, 1000)),
    seconds: number('seconds', seconds, 0.1, 60),
  }
}

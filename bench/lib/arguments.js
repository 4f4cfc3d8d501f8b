// The command line of run.js.

import { parseArgs } from 'node:util'
import { UsageError } from './errors.js'

/** The questions, in the order in which they are asked. */
export const QUESTIONS = ['control', 'ceiling', 'vde', 'ports', 'roundtrip', 'memory', 'idle', 'dhcp']

export const usage = `usage: node run.js [options]

  --only NAME      ask this question only; may be given more than once: ${QUESTIONS.join(', ')}
  --pairs N        pairs for each ratio (5)
  --seconds S      measured time of each side of a pair (1); dhcp: of a fifth of a step
  --json [FILE]    write the results as JSON to FILE, or to stdout (the table goes to stderr then)
  --server 'CMD'   race this server of the same framing in place of vmbridge; {socket} is where it listens
  --help

Exit status: 0 when everything was measured, whatever the goals say; 1 when not; 2 for a wrong command line.

  node run.js --only ceiling --pairs 9
  node run.js --only roundtrip --json results/roundtrip.json
  node run.js --server 'other-switch --listen {socket}' --only vde
`

const names = {
  only: { type: 'string', multiple: true },
  pairs: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '1' },
  json: { type: 'string' },
  server: { type: 'string' },
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
    return parseArgs({ args: withJsonTarget(args), options: names }).values
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
  const { only = QUESTIONS, pairs, seconds, json, server, help } = parse(args)
  const unknown = only.find(name => !QUESTIONS.includes(name))
  if (unknown !== undefined)
    throw new UsageError(`--only ${unknown}: one of ${QUESTIONS.join(', ')} is wanted`)
  if (server !== undefined && !server.includes('{socket}')) {
    throw new UsageError('--server: the command must hold {socket}')
  }
  return {
    help,
    json,
    server,
    questions: QUESTIONS.filter(name => only.includes(name)),
    pairs: Math.round(number('pairs', pairs, 1, 1000)),
    seconds: number('seconds', seconds, 0.1, 60),
  }
}

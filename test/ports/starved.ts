// A process with a listener and no descriptor left to accept with. Argument: the path. It says what the listener
// says, and lets go of descriptors when a line comes on its stdin.

import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Listener } from '../../src/ports/listener.js'

const say = (line: string) => process.stdout.write(`${line}\n`)
const listener = new Listener({
  path: process.argv[2],
  mode: 0o600,
  onConnection: fd => {
    say(`connected, ${listener.refused} refused`)
    closeSync(fd)
    listener.close()
    process.exit(0)
  },
  onRefused: reason => say(`refused: ${reason}`),
})
listener.start()
createInterface({ input: process.stdin }).on('line', () => held.splice(0).forEach(fd => closeSync(fd)))
say('warm')
const held: number[] = []
try {
  for (;;) held.push(openSync('/dev/null', 'r'))
} catch {
  say('starved')
}

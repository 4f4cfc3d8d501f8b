// A process that claims socket paths, says what came of each, and holds them until it is ended. A line on its stdin
// has the time (ms of Date.now) at which to begin, and the paths: racers begin together.

import { createInterface } from 'node:readline'
import { BridgeError } from '../../src/errors.js'
import { claimSocket } from '../../src/ports/claim.js'

process.stdout.write('ready\n')
createInterface({ input: process.stdin }).on('line', line => {
  const [start, ...paths] = line.split(' ')
  while (Date.now() < Number(start));
  const said = paths.map(path => {
    try {
      claimSocket(path, { mode: 0o600 })
      return `won ${process.pid}`
    } catch (error) {
      return `lost ${error instanceof BridgeError ? `${error.code} ${error.message}` : error}`
    }
  })
  process.stdout.write(said.map(each => `${each}\n`).join(''))
})

// The daemon with another kind of DHCP than its command line has: `answer` from reservations, as networks on demand have
// it, before the words of `vmbridge daemon`.

import { command } from '../../src/cli/daemon.js'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { parseCommand } from '../../src/cli/options.js'
import { runDaemon } from '../../src/daemon/daemon.js'

const settings = readDaemonSettings(parseCommand(command, process.argv.slice(2))!)
const networks = settings.networks.map(network => {
  const { dhcp: _, ...rest } = network
  return { ...rest, answers: true as const }
})
await runDaemon({ ...settings, networks })

/**
 * What bin/socket_vmnet starts.
 */

import { runSocketVmnet } from './socket-vmnet-daemon.js'

await runSocketVmnet(process.argv.slice(2))

/**
 * What PREFIX/talos/qemu-system-ARCH starts. Its own path is argv[0]: the launcher sees to that.
 */

import { runShim } from './shim.js'

process.exitCode = await runShim(process.argv0, process.argv.slice(2))

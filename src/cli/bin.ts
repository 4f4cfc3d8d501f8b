/**
 * What bin/vmbridge starts: the command line as a program.
 */

import { runCommandLine } from './main.js'

await runCommandLine(process.argv.slice(2))

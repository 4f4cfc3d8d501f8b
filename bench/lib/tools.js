// What a question needs of the machine, asked before it starts anything.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BenchError } from './errors.js'

const path = (process.env.PATH ?? '').split(':')

/** Throws a BenchError unless this is root and all programs are there. */
export function needTools(programs, install) {
  if (process.getuid() !== 0) throw new BenchError('it makes network namespaces: run it as root')
  const missing = programs.filter(name => !path.some(folder => existsSync(join(folder, name))))
  if (missing.length > 0) throw new BenchError(`${missing.join(', ')} not found: ${install}`)
}

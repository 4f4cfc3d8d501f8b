// Where the repository and its command are, seen from dist/test/helpers.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
export const VMBRIDGE = join(ROOT, 'bin/vmbridge')

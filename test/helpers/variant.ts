// Other builds of the addon, and the environment in which a process uses one: with the stand-in for
// vmnet.framework (native/double), plain or under a sanitizer. scripts/build-variant makes them.
//
// The double proves our handling of the framework's contract; it does not prove Apple's filtering, speed or
// privileges.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Need } from './requires.js'
import { ROOT } from './root.js'

/** `double-asan` is under AddressSanitizer and UndefinedBehaviorSanitizer, `double-tsan` under ThreadSanitizer. */
export type Variant = 'double' | 'double-asan' | 'double-tsan'

/** What a variant is built with; root and a TAP are needed to use it. */
export const VARIANT_NEEDS: readonly Need[] = ['linux', 'root', 'tap', 'ip', 'clang++-19', 'flock', 'make']

/** The status of a process that a sanitizer has ended. */
export const SANITIZER_EXIT = 66

/**
 * What to add to the environment of a process that is to use the variant; it is built here when it is stale. A
 * sanitizer's report is on stderr and ends the process with SANITIZER_EXIT.
 *
 * @throws Error with the compiler's last words when it cannot be built
 */
export function variantEnv(variant: Variant): Record<string, string> {
  const script = join(ROOT, 'scripts/build-variant')
  try {
    execFileSync(script, [variant], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
  } catch (error) {
    throw new Error(`${script} ${variant}: ${(error as { stderr?: string }).stderr ?? ''}`, { cause: error })
  }
  const lines = readFileSync(join(ROOT, '.variants', variant, 'env'), 'utf8')
    .split('\n')
    .filter(Boolean)
  return Object.fromEntries(
    lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

/** A program that was built beside the variant's addon. */
export const variantProgram = (variant: Variant, name: string): string =>
  join(ROOT, '.variants', variant, 'build/Release', name)

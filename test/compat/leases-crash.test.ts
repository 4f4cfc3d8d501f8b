// The daemon is killed, or the disk is full, at any of the calls that keep the leases file: what readers find is the file as
// it was or as it should be, whole, and the next start leaves no trace of what happened.

import fs from 'node:fs/promises'
import { writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import { bootpd, keep, lease, leftovers, until } from './leases.js'
import { addressByText, parseLeases, readLeases } from './minikube.js'

t.setTimeout(300_000)

type Call = (...args: unknown[]) => Promise<unknown>
type Fault = { kind: 'crash' | 'full'; at: number }

const CALLS = ['open', 'rename', 'rm', 'lstat'] as const
const HANDLE_CALLS = ['read', 'writeFile', 'chmod', 'chown', 'sync', 'stat', 'close'] as const
const NEEDS_ROOM = ['open', 'writeFile', 'sync', 'rename']

/**
 * From its call of that number on, the disk takes nothing more. A crash stops everything, a close and the tidying up
 * included; a full disk the calls that need room. Half of what was being written is there.
 */
function inject({ kind, at }: Fault): { calls: () => number; mend: () => void } {
  const table = fs as unknown as Record<string, Call>
  const originals = CALLS.map(name => [name, table[name]!] as const)
  let calls = 0
  const fails = (name: string, first: unknown, flags: unknown): boolean => {
    const isMade = name !== 'open' || (typeof flags === 'number' && (flags & 0o100) !== 0)
    if (kind === 'full' && !(NEEDS_ROOM.includes(name) && isMade)) return false
    return ++calls >= at && first !== undefined
  }
  const error = (name: string): Error =>
    Object.assign(new Error(`ENOSPC: no space left on device, ${name}`), { code: 'ENOSPC' })
  const faulty =
    (name: string, original: Call): Call =>
    async (...args) => {
      if (fails(name, name, args[1])) {
        if (name === 'writeFile')
          await original((args[0] as string).slice(0, args[0]!.toString().length / 2), args[1])
        throw error(name)
      }
      const result = await original(...args)
      if (name !== 'open') return result
      const handle = result as Record<string, Call>
      for (const each of HANDLE_CALLS) {
        const own = handle[each]!.bind(handle)
        // What is not closed would be closed by the collector, which says so.
        handle[each] = each === 'close' ? own : faulty(each, own)
      }
      return handle
    }
  for (const [name, original] of originals) table[name] = faulty(name, original)
  syncBuiltinESMExports()
  return {
    calls: () => calls,
    mend: () => {
      for (const [name, original] of originals) table[name] = original
      syncBuiltinESMExports()
    },
  }
}

const A = lease('192.168.105.2', '02:00:00:00:00:0a')
const OLD = bootpd('192.168.105.2', '2:0:0:0:0:88') + bootpd('192.168.64.2', '2:0:0:0:0:99')
const NEVER = { write: 1, assert: 1, look: 3_600_000 }

t.test('killed at any call, it leaves a whole file, and the next start another', async t => {
  const path = join(scratch(t), 'leases')
  writeFileSync(path, OLD)
  await keep(t, path, [A], { timing: NEVER }).file.close()
  const wanted = readLeases(path)
  const seen = { old: 0, new: 0 }
  for (let at = 1; ; at++) {
    writeFileSync(path, OLD)
    const { calls, mend } = inject({ kind: 'crash', at })
    const { file } = keep(t, path, [A], { timing: NEVER })
    await file.close().finally(mend)
    const text = readLeases(path)
    if (text !== OLD && text !== wanted) t.fail(`killed at call ${at}: ${text}`)
    seen[text === OLD ? 'old' : 'new']++
    if (calls() < at) break
    await keep(t, path, [A], { timing: NEVER }).file.close()
    if (readLeases(path) !== wanted || leftovers(path).length > 0)
      t.fail(`killed at call ${at}: not as it should be`)
  }
  t.ok(seen.old >= 10, `as it was after ${seen.old} of them: the last is the rename`)
})

t.test('a disk that is full at any call is no end of anything', async t => {
  const path = join(scratch(t), 'leases')
  let count = 0
  for (let at = 1; ; at++, count++) {
    writeFileSync(path, OLD)
    const { calls, mend } = inject({ kind: 'full', at })
    const { file, lines, warnings } = keep(t, path, [A], { timing: { write: 2, assert: 2, look: 5 } })
    try {
      await until(() => warnings().length > 0 || readLeases(path) !== OLD, 'it says so, or writes')
      if (calls() < at) break
      t.match(warnings(), [/ENOSPC/])
      if (readLeases(path) !== OLD || leftovers(path).length > 0) t.fail(`full at call ${at}: not as it was`)
    } finally {
      mend()
    }
    await until(() => lines.some(({ event }) => event === 'leases-file.kept'), 'there is room again')
    t.equal(addressByText(readLeases(path), '02:00:00:00:00:0a'), '192.168.105.2')
    t.equal(parseLeases(readLeases(path)).length, 2)
    await file.close()
  }
  t.equal(count, 4, 'to make the file, to write it, to sync it, to rename it')
})

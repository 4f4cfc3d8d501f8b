// Where sockets and state go for one run of the bench: a folder below TMPDIR, gone with the bench.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const open = new Set()
let serial = 0

/** A folder of its own. Sun_path is short, so is this. */
export function openScratch() {
  const path = mkdtempSync(join(tmpdir(), 'vmbb-'))
  open.add(path)
  return { path, remove: () => remove(path) }
}

function remove(path) {
  rmSync(path, { recursive: true, force: true })
  open.delete(path)
}

/** For the way out, whatever the reason. */
export function removeScratch() {
  for (const path of open) remove(path)
}

/** A folder in it for one racer, which meets neither the sockets nor the state that another has left. */
export function ownFolder(scratch) {
  const folder = join(scratch, String(++serial))
  mkdirSync(folder)
  return folder
}

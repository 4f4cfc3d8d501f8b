/**
 * What root is to start must be root's alone: whoever can write to the program, or to a folder on the way to it, would
 * have root's rights at the next start. That is why the service does not run from Homebrew's prefix or a checkout.
 */

import { lstatSync, realpathSync, type Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { BridgeError, hasCode } from '../errors.js'
import type { Host } from './host.js'

const GROUP_OR_OTHERS_WRITE = 0o022
const ANY_EXECUTE = 0o111

/** @throws BridgeError ERR_SERVICE_NO_TREE or ERR_SERVICE_TREE, naming the first path that is wrong */
export function requireTree(host: Host, prefix: string): void {
  const program = join(host.root, prefix, 'bin/vmbridge')
  const install = `sudo vmbridge install --prefix ${prefix}`
  let real: string
  let found: Stats
  try {
    real = realpathSync(program)
    found = lstatSync(real)
  } catch (error) {
    if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw error
    throw new BridgeError('ERR_SERVICE_NO_TREE', `there is no ${join(prefix, 'bin/vmbridge')} to start`, {
      hint: install,
    })
  }
  if (!found.isFile() || (found.mode & ANY_EXECUTE) === 0) {
    throw new BridgeError('ERR_SERVICE_NO_TREE', `${real} is no program`, { hint: install })
  }
  const end = realpathSync(host.root)
  const named = join(prefix, 'bin/vmbridge')
  if (real !== join(end, named)) {
    // The check would be of what the link leads to now, and the start of what it leads to then.
    throw new BridgeError(
      'ERR_SERVICE_TREE',
      `root may not start ${named}: a symbolic link leads to ${real}`,
      {
        hint: `${install}, with the path that has no link in it`,
      },
    )
  }
  for (let path = real; ; path = dirname(path)) {
    const { uid, mode } = lstatSync(path)
    if (uid !== 0 || (mode & GROUP_OR_OTHERS_WRITE) !== 0) {
      const who = uid === 0 ? 'others than root can write to it' : `user ${uid} owns it`
      throw new BridgeError('ERR_SERVICE_TREE', `root may not start ${real} from ${path}: ${who}`, {
        hint: install,
      })
    }
    if (path === end || path === dirname(path)) return
  }
}

/**
 * Who may change what root starts: the rules that Lima holds against the path of socket_vmnet before it lets sudo
 * start it (pkg/networks/validate.go), here for every component of the prefix, and for each file of the tree, the
 * interpreter and the addon included. Access control lists are not looked at, neither here nor there.
 */

import { lstatSync, type Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { BridgeError, UsageError } from '../errors.js'
import { shellQuote } from '../shell.js'
import { EXECUTABLE, PLAIN, walk } from './files.js'

const GROUP_WRITABLE = 0o020
const WORLD_WRITABLE = 0o002
const PERMISSIONS = 0o7777

const ELSEWHERE = 'choose a --prefix that only root can change, such as /opt/vmbridge'

/** @throws UsageError for a prefix that Lima would not take whatever lies there */
export function checkPrefixName(prefix: string): void {
  if (!prefix.startsWith('/')) throw new UsageError(`--prefix ${prefix}: that is no absolute path`, ELSEWHERE)
  if (/[\s\p{Cc}]/u.test(prefix)) {
    throw new UsageError(`--prefix ${JSON.stringify(prefix)}: Lima takes no path with spaces`, ELSEWHERE)
  }
  if (prefix === '/') throw new UsageError('--prefix /: that is everything', ELSEWHERE)
}

/**
 * Looks at every component of an absolute path from / on, as far as it exists.
 * @throws BridgeError ERR_INSTALL_PATH, naming the component, its owner, its mode and what makes it right
 */
export function checkPath(path: string): void {
  if (path !== '/') checkPath(dirname(path))
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  const wrong = stats.isSymbolicLink()
    ? {
        what: 'a symbolic link',
        fix: `give --prefix the path that it leads to: realpath ${shellQuote(path)}`,
      }
    : !stats.isDirectory()
      ? { what: 'no folder', fix: ELSEWHERE }
      : writableByOthers(path, stats)
  if (wrong !== undefined) refuse(path, stats, wrong)
}

/**
 * Looks at everything in a folder that an install made.
 * @throws BridgeError ERR_INSTALL_PATH
 */
export function checkTree(folder: string): void {
  for (const { path, stats } of walk(folder)) {
    const wrong = wrongInTree(stats)
    if (wrong === undefined) continue
    // All of it was just made: what keeps no owner or mode is the file system.
    const fix = `install on a file system that keeps owners and modes: df ${shellQuote(folder)}`
    refuse(join(folder, path), stats, { what: wrong, fix })
  }
}

function wrongInTree(stats: Stats): string | undefined {
  const mode = stats.mode & PERMISSIONS
  if (stats.uid !== 0 || stats.gid !== 0) return 'not owned by 0:0'
  if (stats.isDirectory()) return mode === EXECUTABLE ? undefined : 'not of mode 0755'
  if (!stats.isFile()) return 'no regular file'
  if (stats.nlink !== 1) return 'known by another name, too (a hard link)'
  return mode === EXECUTABLE || mode === PLAIN ? undefined : 'neither of mode 0644 nor 0755'
}

interface Wrong {
  what: string
  fix: string
}

function writableByOthers(path: string, { uid, gid, mode }: Stats): Wrong | undefined {
  const word = shellQuote(path)
  if (uid !== 0) return { what: 'not owned by root', fix: `chown root ${word}, or ${ELSEWHERE}` }
  if (mode & WORLD_WRITABLE) {
    // Everybody's folders, such as /tmp, are that on purpose.
    return {
      what: 'writable by everybody',
      fix: mode & 0o1000 ? ELSEWHERE : `chmod o-w ${word}, or ${ELSEWHERE}`,
    }
  }
  if (mode & GROUP_WRITABLE && gid !== 0) {
    return { what: 'writable by its group', fix: `chmod g-w ${word}, or ${ELSEWHERE}` }
  }
  return undefined
}

function refuse(path: string, { uid, gid, mode }: Stats, { what, fix }: Wrong): never {
  const octal = (mode & PERMISSIONS).toString(8).padStart(4, '0')
  throw new BridgeError(
    'ERR_INSTALL_PATH',
    `${path} is ${what} (owner ${uid}:${gid}, mode ${octal}), so others than root could change what root starts`,
    { hint: fix },
  )
}

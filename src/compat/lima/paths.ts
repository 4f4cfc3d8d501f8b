/**
 * Lima's rules for a path that sudo is to use (validatePath in Lima's pkg/networks/validate.go): every component
 * absolute, without spaces, no link, of root, and changed by nobody else. Access control lists are not looked at.
 */

import { dirname } from 'node:path'
import { hasCode } from '../../errors.js'
import { shellQuote } from '../../shell.js'
import type { Facts, Machine } from './machine.js'

export interface PathFault {
  /** The component. */
  path: string
  /** What is wrong with it, as the end of a sentence. */
  what: string
  /** A command that makes it right, where there is one. */
  fix?: string
}

/** Letters, digits and signs that mean themselves to sudo; Lima writes paths into its fragment as they are. */
const PLAIN = /^[\p{L}\p{N}/._+@-]*$/u

/** Faults of a path as a text, whatever lies there. */
export function textFaults(path: string): PathFault[] {
  const faults: string[] = []
  if (!path.startsWith('/')) faults.push('is no absolute path')
  if (path.includes(' ')) faults.push('has a space in it')
  else if (path.split('/').includes('..')) faults.push('has .. in it, which leads elsewhere than its text')
  else if (!PLAIN.test(path)) faults.push('has a sign in it that sudoers reads in its own way')
  return faults.map(what => ({ path: JSON.stringify(path), what }))
}

/**
 * Looks at a path that is there and has no `..` in it, from / to its end.
 * @param daemonGroup the group that may write, besides root's, and must be able to enter: for Lima's varRun
 */
export function pathFaults(machine: Machine, given: string, daemonGroup?: number): PathFault[] {
  // With a slash behind it, a link is followed before it is looked at.
  const path = given.replace(/(?<=.)\/+$/, '')
  const above = path === '/' ? [] : pathFaults(machine, dirname(path), daemonGroup)
  let facts: Facts
  try {
    facts = machine.lstat(path)
  } catch (error) {
    // What is below something missing is missing, too: said once.
    return above.length > 0 ? above : [missingFault(path, error)]
  }
  return [...above, ...faultsOf(path, facts, daemonGroup)]
}

function missingFault(path: string, error: unknown): PathFault {
  if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return { path, what: 'is not there' }
  return { path, what: `cannot be looked at: ${(error as Error).message}` }
}

function faultsOf(
  path: string,
  { kind, uid, gid, mode }: Facts,
  daemonGroup: number | undefined,
): PathFault[] {
  const word = shellQuote(path)
  const fault = (what: string, fix: string): PathFault => ({ path, what, fix: `sudo ${fix} ${word}` })
  if (kind === 'link') return [{ path, what: 'is a symbolic link' }]
  const faults: PathFault[] = []
  if (uid !== 0) faults.push(fault(`is of the user ${uid}, not of root`, 'chown root'))
  if (mode & 0o020 && gid !== 0 && gid !== daemonGroup)
    faults.push(fault(`can be written by the group ${gid}`, 'chmod g-w'))
  if (mode & 0o002) faults.push(fault('can be written by everybody', 'chmod o-w'))
  const isShut = (mode & 0o001) === 0 && (gid !== daemonGroup || (mode & 0o010) === 0)
  if (daemonGroup !== undefined && kind === 'folder' && isShut)
    faults.push(fault('cannot be entered by the group daemon', 'chmod o+x'))
  return faults
}

/** The part of a path that is there. */
export function existingPart(machine: Machine, path: string): string {
  try {
    machine.lstat(path)
    return path
  } catch (error) {
    return hasCode(error, 'ENOENT') && path !== '/' ? existingPart(machine, dirname(path)) : path
  }
}

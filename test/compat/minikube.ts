// How minikube finds its VM's address in a leases file, by the rules of the contract: the first entry with the MAC wins; a
// blank line, a comment or an unknown key fails the whole file; a brace or a value without an entry ends minikube itself.

import { readFileSync } from 'node:fs'

export type Found = { name: string; ip: string; hardware: string; identifier: string; lease: string }

const FIELDS: Record<string, keyof Found> = {
  name: 'name',
  ip_address: 'ip',
  hw_address: 'hardware',
  identifier: 'identifier',
  lease: 'lease',
}
/** Of a line with its newline, in bytes: Go's bufio.Scanner. */
const LONGEST = 64 * 1024

/** Every entry of the file; throws where minikube fails. */
export function parseLeases(text: string): Found[] {
  const entries: Found[] = []
  let entry: Found | undefined
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  for (const row of lines) {
    if (row.length + 1 >= LONGEST) throw new Error('token too long')
    const line = row.trim()
    if (line === '{') {
      entry = { name: '', ip: '', hardware: '', identifier: '', lease: '' }
      continue
    }
    if (line !== '}' && !line.includes('=')) throw new Error(`invalid line: ${JSON.stringify(row)}`)
    if (entry === undefined) throw new Error(`no entry to put this in: ${JSON.stringify(row)}`)
    if (line === '}') {
      entries.push({ ...entry })
      continue
    }
    const equals = line.indexOf('=')
    const field = FIELDS[line.slice(0, equals)]
    const value = line.slice(equals + 1)
    if (field === undefined) throw new Error(`unable to parse line: ${JSON.stringify(row)}`)
    if (field === 'hardware' && value.length < 2) throw new Error('slice bounds out of range')
    entry[field] = field === 'hardware' ? value.slice(2) : value
  }
  return entries
}

/** Zeros in front of an octet go, as macOS prints them. */
const unpadded = (mac: string): string => mac.replace(/\b0([0-9a-f])/gi, '$1')

/** By the text of the MAC, as minikube did for years. */
export function addressByText(text: string, mac: string): string | undefined {
  return parseLeases(text).find(({ hardware }) => hardware === unpadded(mac))?.ip
}

/** By its six octets, as minikube does now; what follows them is not looked at. */
export function addressByOctets(text: string, mac: string): string | undefined {
  const octets = (from: string): string | undefined =>
    /^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}/i.exec(from)?.[0].toLowerCase()
  const wanted = octets(unpadded(mac))
  return parseLeases(text).find(({ hardware }) => octets(unpadded(hardware)) === wanted)?.ip
}

/** What the file says now; as if it were empty where there is none. */
export function readLeases(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

// Network namespaces for the DHCP question: a client's, and dnsmasq's. They go with the bench; of a bench that was
// killed the next one removes what it left, which it knows by the PID in the name.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { BenchError } from './errors.js'

const PREFIX = 'vmbb-'
const NAMESPACES = '/run/netns'

const living = new Set()
let count = 0

/** Runs `ip`. Throws a BenchError that holds what it said. */
export function ip(...args) {
  try {
    execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const said = error.stderr?.toString().trim() || error.message
    throw new BenchError(`ip ${args.join(' ')}: ${said}`)
  }
}

/** A fresh namespace; its name. */
export function openNetns() {
  removeStale()
  const name = `${PREFIX}${process.pid}-${++count}`
  ip('netns', 'add', name)
  living.add(name)
  return name
}

/** The argument vector that runs a program inside. `ip` execs it: the PID is the program's. */
export const inside = (netns, command) => ['ip', 'netns', 'exec', netns, ...command]

/** Gives a device of a namespace its address, and brings it up. */
export function addressDevice(netns, device, cidr) {
  ip('-n', netns, 'addr', 'add', cidr, 'dev', device)
  ip('-n', netns, 'link', 'set', device, 'up')
}

/** Removes a namespace, whose programs have ended. */
export function closeNetns(name) {
  living.delete(name)
  try {
    ip('netns', 'delete', name)
  } catch {
    // gone already
  }
}

/** For the way out, whatever the reason. */
export function closeAllNetns() {
  for (const name of living) closeNetns(name)
}

function removeStale() {
  if (!existsSync(NAMESPACES)) return
  for (const name of readdirSync(NAMESPACES)) {
    const maker = /^vmbb-(\d+)-/.exec(name)?.[1]
    if (maker !== undefined && !existsSync(`/proc/${maker}`)) closeNetns(name)
  }
}

// A daemon whose network answers DHCP from reservations alone, with one node in it.

import { join } from 'node:path'
import { vmbridge } from '../cli/command.js'
import { type Daemon, type DaemonOptions, type Scope, startDaemon } from '../helpers/daemon.js'
import { ROOT } from '../helpers/root.js'

export const NODE = { ip: '10.5.0.2', mac: '52:54:00:00:00:02' }

/** The words of `vmbridge reservations add` for NODE, as the shim reserves from a record of talosctl's. */
const RESERVE = [
  'reservations',
  'add',
  NODE.ip,
  '--mac',
  NODE.mac,
  '--hostname',
  'node-1',
  ...['router=10.5.0.1', 'dns=8.8.8.8,1.1.1.1', 'mtu=1450'].map(option => `--dhcp-option=${option}`),
]

/** Starts it; NODE has its reservation by the control socket. */
export async function startAnswering(t: Scope, options: DaemonOptions = {}): Promise<Daemon> {
  const { args = ['--uplink', 'none'] } = options
  const daemon = await startDaemon(t, {
    ...options,
    program: [process.execPath, join(ROOT, 'dist/test/daemon/answer-daemon.js')],
    args: ['--gateway', '10.5.0.1/24', ...args],
  })
  const { status, stderr } = await vmbridge([...RESERVE, '--control', daemon.control])
  if (status !== 0) throw new Error(stderr)
  return daemon
}

// A Mac on which an unmodified talosctl would put its VMs on the switch, as data: each test spoils one thing. The settings
// of the stand-ins are a file: a folder of the test's own is the prefix.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { NetworkSummary } from '../../../src/control/api.js'
import { BridgeError } from '../../../src/errors.js'
import type { DaemonView, FileFacts, Machine } from '../../../src/talos/doctor/machine.js'
import type { Ran } from '../../../src/talos/programs.js'
import type { QemuFacts, QemuWanted } from '../../../src/talos/qemu.js'
import { STAND_INS } from '../../../src/talos/settings.js'

export const QEMU = '/opt/homebrew/bin/qemu-system-aarch64'
export const TALOSCTL = '/opt/homebrew/bin/talosctl'
const USER_PATH = '/opt/homebrew/bin:/usr/bin:/bin'

const root: FileFacts = { kind: 'file', uid: 0, gid: 0, mode: 0o755 }

export const summary = (gateway: string, more: Partial<NetworkSummary> = {}): NetworkSummary => ({
  name: gateway.replace('/', '-'),
  kind: 'demand',
  sockets: [],
  gateway,
  uplink: { kind: 'vmnet', name: 'shared', state: 'up' },
  dhcp: 'answer',
  ports: 1,
  ...more,
})

export class FakeMac implements Machine {
  platform: NodeJS.Platform = 'darwin'
  arch = 'arm64'
  uid = 501
  env: Record<string, string | undefined> = { PATH: USER_PATH }
  files = new Map<string, FileFacts>()
  answers = new Map<string, Ran>()
  ran: string[] = []
  interfaces = [{ name: 'en0', cidr: '192.168.1.7/24' }]
  networks: NetworkSummary[] = []
  lost: { code: string; message: string } | undefined
  qemu: QemuFacts | undefined = { version: '10.1.0', reconnect: 'reconnect-ms' }
  wanted: QemuWanted | undefined
  readonly prefix: string

  constructor(prefix: string, settings: object = {}) {
    this.prefix = prefix
    const folder = join(prefix, 'talos')
    mkdirSync(folder)
    const text = JSON.stringify({ format: 1, name: 'vmbridge talos', dhcp: 'answer', qemu: {}, ...settings })
    writeFileSync(join(folder, 'settings.json'), text)
    for (let path = folder; path !== dirname(path); path = dirname(path))
      this.files.set(path, { ...root, kind: 'folder' })
    for (const name of STAND_INS) this.files.set(join(folder, name), root)
    for (const path of [QEMU, TALOSCTL, '/usr/bin/sudo']) this.files.set(path, root)
    this.answer(`${TALOSCTL} version --client --short`, 'Client:\nTalos v1.13.9\n')
    this.answer('/usr/bin/sudo -n /usr/bin/env', `HOME=/var/root\nPATH=${folder}:${USER_PATH}\nTERM=x\n`)
    this.files.set('/var/run/vmbridge/control.sock', { ...root, kind: 'other' })
  }

  answer(line: string, stdout: string, status = 0, stderr = ''): void {
    this.answers.set(line, { status, stdout, stderr })
  }

  run = (argv: readonly string[]): Ran => {
    this.ran.push(argv.join(' '))
    return this.answers.get(argv.join(' ')) ?? { status: 1, stdout: '', stderr: 'no such luck' }
  }
  find = (name: string, path = this.env['PATH'] ?? ''): string[] =>
    path
      .split(':')
      .map(folder => join(folder, name))
      .filter(file => this.files.has(file))
  stat = (path: string): FileFacts | undefined => this.files.get(path)
  addresses = () => this.interfaces
  findQemu = (wanted: QemuWanted): string => {
    this.wanted = wanted
    const found = wanted.configured ?? this.find(wanted.name, wanted.path).find(path => path !== wanted.self)
    if (found !== undefined) return found
    throw new BridgeError('ERR_NO_QEMU', `there is no real ${wanted.name} in PATH`)
  }
  askQemu = (): QemuFacts | undefined => this.qemu
  daemon = (): Promise<DaemonView> => {
    const path = '/var/run/vmbridge/control.sock'
    const view: DaemonView =
      this.lost === undefined
        ? { path, version: '1.2.3', networks: this.networks }
        : { path, error: this.lost }
    return Promise.resolve(view)
  }
}

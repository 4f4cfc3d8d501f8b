// The files that go with the service, key by key and field by field, and their command lines by the daemon's own parser:
// a flag that is misspelt, or that the daemon has no more, fails here.

import { DEFAULT_PREFIX } from '../../src/config/paths.js'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { command } from '../../src/cli/daemon.js'
import { parseCommand } from '../../src/cli/options.js'
import type { DaemonSettings } from '../../src/daemon/settings.js'
import { linuxDefinition, macDefinition } from '../../src/service/definition.js'
import { COMMENT } from '../../src/service/launchd.js'
import { launchdJob, newsyslogEntry, renderPlist } from '../../src/service/plist.js'
import { renderUnit } from '../../src/service/unit.js'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'

const shared = macDefinition({ prefix: DEFAULT_PREFIX, options: [] })
const bridged = macDefinition({ prefix: DEFAULT_PREFIX, options: [], bridged: 'en0' })
const linux = linuxDefinition({ prefix: DEFAULT_PREFIX, options: [] })
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

const PLISTLIB = 'import json,plistlib,sys; json.dump(plistlib.loads(sys.stdin.buffer.read()), sys.stdout)'

/** As Python's plistlib reads it: no code of ours wrote and reads it alike. */
async function parsePlist(text: string): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await execute(['python3', '-c', PLISTLIB], { input: text })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Record<string, unknown>
}

/** The settings that a daemon of that command line would have. The groups of a Mac are not this machine's. */
function settingsOf(args: readonly string[]): DaemonSettings {
  const known = args.map((arg, i) => (args[i - 1] === '--socket-group' ? '80' : arg))
  const [name, ...options] = known
  if (name !== 'daemon') throw new Error(`the command is ${name}`)
  return readDaemonSettings(parseCommand(command, options, {})!)
}

t.test('the files of this repository are those that `service install` writes', async t => {
  for (const definition of [shared, bridged]) {
    const { name } = definition
    t.equal(read(`launchd/${name}.plist`), renderPlist(launchdJob(definition), COMMENT), name)
    t.equal(read(`launchd/newsyslog.d/${name}.conf`), newsyslogEntry(definition), name)
  }
  t.equal(read('systemd/vmbridge.service'), renderUnit(linux))
})

t.test('only a unit for shared mode has what that takes', async t => {
  const lines = (...options: string[]) =>
    renderUnit(linuxDefinition({ prefix: DEFAULT_PREFIX, options }))
      .split('\n')
      .filter(line => /^\w/.test(line))
  const plain = lines()
  for (const way of [['--mode', 'shared'], ['--mode=shared'], ['--mode', 'host', '--mode', 'shared']]) {
    const more = lines(...way)
    t.strictSame(
      plain.filter(line => !more.includes(line) && !line.startsWith('ExecStart')),
      [
        'AmbientCapabilities=CAP_NET_ADMIN',
        'CapabilityBoundingSet=CAP_NET_ADMIN',
        'ProtectKernelTunables=yes',
        'RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK',
        'IPAddressDeny=any',
      ],
    )
    t.strictSame(
      more.filter(line => !plain.includes(line) && !line.startsWith('ExecStart')),
      [
        'KillMode=mixed',
        'AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE',
        'CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE',
        'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
      ],
    )
  }
  const others = [lines('--mode', 'host'), lines('--mode', 'bridged', '--interface', 'br0')]
  for (const other of others) t.strictSame(other.slice(4), plain.slice(4), 'but for its command line')
})

const job = (label: string, log: string, args: string[]) => ({
  Label: label,
  ProgramArguments: ['/opt/vmbridge/bin/vmbridge', 'daemon', '--uplink', 'vmnet', ...args, '--log-file', log],
  UserName: 'root',
  RunAtLoad: true,
  KeepAlive: true,
  ThrottleInterval: 10,
  ExitTimeOut: 20,
  ProcessType: 'Interactive',
  Umask: 18,
  StandardOutPath: log,
  StandardErrorPath: log,
})

const skip = requires(['python3'])

t.test("the plists hold launchd's keys, and no others", { skip }, async t => {
  t.strictSame(
    await parsePlist(read('launchd/io.github.vmbridge.plist')),
    job('io.github.vmbridge', '/var/log/vmbridge.log', [
      '--mode',
      'shared',
      '--socket',
      '/var/run/vmbridge/vmbridge.sock',
      '--socket-group',
      'admin',
      '--control',
      '/var/run/vmbridge/control.sock',
      '--pidfile',
      '/var/run/vmbridge/vmbridge.pid',
      '--state-dir',
      '/var/db/vmbridge/default',
    ]),
  )
  t.strictSame(
    await parsePlist(read('launchd/io.github.vmbridge.bridged.en0.plist')),
    job('io.github.vmbridge.bridged.en0', '/var/log/vmbridge.bridged.en0.log', [
      '--mode',
      'bridged',
      '--interface',
      'en0',
      '--socket',
      '/var/run/vmbridge/bridged.en0.sock',
      '--socket-group',
      'admin',
      '--control',
      '/var/run/vmbridge/bridged.en0.sock.control',
      '--pidfile',
      '/var/run/vmbridge/bridged.en0.pid',
      '--state-dir',
      '/var/db/vmbridge/bridged.en0',
    ]),
  )
})

t.test('whatever stands in an argument arrives as it is', { skip }, async t => {
  const options = ['--domain', 'a&b<c>"d" -- \u00e9', '--dns=1.1.1.1']
  const definition = macDefinition({ prefix: DEFAULT_PREFIX, options })
  const parsed = await parsePlist(renderPlist(launchdJob(definition), COMMENT))
  t.strictSame((parsed['ProgramArguments'] as string[]).slice(-3), options)
})

const isOwn = (t: Test, settings: DaemonSettings[], what: (each: DaemonSettings) => string | undefined) => {
  const places = settings.map(what)
  t.equal(new Set(places).size, places.length, places.join(' '))
}

t.test('the daemon takes the command lines of the plists; no two share a place', async t => {
  const settings = [shared, bridged].map(({ args }) => settingsOf(args))
  t.match(settings[0].networks[0]!.uplink, { kind: 'vmnet', mode: 'shared' })
  t.match(settings[1].networks[0]!.uplink, { kind: 'vmnet', mode: 'bridged', interface: 'en0' })
  for (const { rights } of settings) t.strictSame(rights, { mode: 0o660, gid: 80 })
  isOwn(t, settings, ({ networks }) => networks[0]!.sockets.join(' '))
  isOwn(t, settings, ({ networks }) => networks[0]!.stateDir)
  isOwn(t, settings, ({ control }) => control)
  isOwn(t, settings, ({ pidfile }) => pidfile)
})

t.test('the daemon takes the command line of the unit', async t => {
  const line = /^ExecStart=(\S+) (.*)$/m.exec(read('systemd/vmbridge.service'))!
  t.equal(line[1], '/opt/vmbridge/bin/vmbridge')
  t.match(settingsOf(line[2].split(' ')), {
    control: '/run/vmbridge/control.sock',
    networks: [
      {
        uplink: { kind: 'tap' },
        sockets: ['/run/vmbridge/vmbridge.sock'],
        stateDir: '/var/lib/vmbridge/default',
      },
    ],
  })
})

/** newsyslog.conf(5): name, [owner:group], mode, count, size, when, [flags], [pid file, [signal]]. */
function parseNewsyslog(text: string) {
  return text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => {
      const fields = line.split(/\s+/)
      const owner = fields[1].includes(':') ? fields.splice(1, 1)[0] : undefined
      const [name, mode, count, size, when, flags = '', pidfile, signal, ...rest] = fields
      if (rest.length > 0) throw new Error(`${line}: too many fields`)
      if (!/^[0-7]{3}$/.test(mode) || !/^\d+$/.test(count) || !/^(\d+|\*)$/.test(size)) throw new Error(line)
      if (!/^(\d+|\*|[@$]\S+)$/.test(when) || !/^(-|[BCDGJNUWZ]+)$/.test(flags)) throw new Error(line)
      return { name, owner, mode, count: Number(count), size: Number(size), when, flags, pidfile, signal }
    })
}

t.test(
  'newsyslog turns each log over by size and tells its daemon, by a signal that does not end it',
  async t => {
    for (const { name, log, pidfile } of [shared, bridged]) {
      t.strictSame(parseNewsyslog(read(`launchd/newsyslog.d/${name}.conf`)), [
        {
          name: log,
          owner: 'root:wheel',
          mode: '644',
          count: 5,
          size: 1024,
          when: '*',
          flags: '-',
          pidfile,
          signal: '31',
        },
      ])
    }
  },
)

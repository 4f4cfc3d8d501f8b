// `vmbridge service` as a person meets it before anything is changed: help, wrong words, and what a Mac's choice of
// options comes to.

import t from 'tap'
import { DEFAULT_PREFIX } from '../../src/config/paths.js'
import { configFileOf } from '../../src/cli/daemon-config.js'
import { command } from '../../src/cli/daemon.js'
import { parseCommand } from '../../src/cli/options.js'
import { renderState } from '../../src/cli/service.js'
import { checkChoice, linuxDefinition, macDefinition } from '../../src/service/definition.js'
import { thisHost } from '../../src/service/host.js'
import { renderUnit } from '../../src/service/unit.js'
import { vmbridge } from '../cli/command.js'

t.setTimeout(300_000)

t.test('vmbridge service --help shows the verbs and examples', async t => {
  const { status, stdout, stderr } = await vmbridge(['service', '--help'])
  t.equal(status, 0)
  t.equal(stderr, '')
  t.match(stdout, /^usage: vmbridge service \[OPTION\]\.\.\. install\|uninstall\|start\|stop\|status /m)
  t.match(stdout, /\nexamples:\n {2}\S/)
  t.match((await vmbridge(['--help'])).stdout, /^ {2}service {2,}\S/m)
})

for (const [args, says] of [
  [[], /takes a verb/],
  [['nonsense'], /"nonsense"/],
  [['constructor'], /"constructor"/],
  [['start', 'now'], /"now"/],
  [['status', '--nonsense'], /--nonsense/],
  [['status', '--prefix', 'opt'], /--prefix opt/],
  [['install', '--', '--socket', '/tmp/s'], /--socket is the service's own/],
  [['install', '--', '--control=/tmp/c'], /--control is the service's own/],
  [['install', '--', '--socket-group', '0', '--mtu', '1'], /--mtu 1/],
] as const) {
  t.test(`"vmbridge service ${args.join(' ')}" is refused`, async t => {
    const { status, stdout, stderr } = await vmbridge(['service', ...args])
    t.equal(status, 2)
    t.equal(stdout, '')
    t.match(stderr, /^vmbridge: [^\n]+\n {2}try: [^\n]+\n$/)
    t.match(stderr, says)
  })
}

const choice = { prefix: DEFAULT_PREFIX, options: [] }

t.test('a bridged service is of a Mac, and named after an interface', async t => {
  t.throws(() => checkChoice({ ...choice, bridged: 'en0' }, 'linux'), {
    code: 'ERR_USAGE',
    message: /only macOS/,
  })
  t.doesNotThrow(() => checkChoice({ ...choice, bridged: 'bridge100' }, 'darwin'))
  for (const bridged of ['', '../en0', 'en0.plist', 'EN0', 'en 0', 'x'.repeat(16)])
    t.throws(() => checkChoice({ ...choice, bridged }, 'darwin'), { code: 'ERR_USAGE' }, bridged)
})

t.test('a prefix is a plain path', async t => {
  for (const prefix of ['', '/', 'opt', '/opt/../etc', '/opt/.', '/opt/a b', '/opt/"', '/opt/vm/\n'])
    t.throws(() => checkChoice({ ...choice, prefix }, 'linux'), { code: 'ERR_USAGE' }, JSON.stringify(prefix))
  t.match(macDefinition({ ...choice, prefix: '/usr/local/vm-bridge_1.0' }), {
    program: '/usr/local/vm-bridge_1.0/bin/vmbridge',
  })
})

t.test('what is bridged is an option of the service on Linux, and a service of its own on a Mac', async t => {
  const options = ['--mode', 'bridged', '--interface', 'br0']
  t.doesNotThrow(() => checkChoice({ ...choice, options }, 'linux'))
  t.throws(() => checkChoice({ ...choice, options }, 'darwin'), { code: 'ERR_USAGE', message: /--interface/ })
})

t.test("the places and the user are the service's own", async t => {
  for (const name of ['socket', 'control', 'pidfile', 'state-dir', 'log-file', 'uplink', 'user'])
    for (const options of [[`--${name}`, 'x'], [`--${name}=x`]])
      t.throws(() => checkChoice({ ...choice, options }, 'linux'), { code: 'ERR_USAGE' }, options[0])
  t.throws(() => checkChoice({ ...choice, options: ['--interface', 'en1'] }, 'darwin'), { code: 'ERR_USAGE' })
  t.doesNotThrow(() => checkChoice({ ...choice, options: ['--mode', 'bridged', '--interface=br0'] }, 'linux'))
})

t.test('a service of a file: by an absolute path, and its networks are those of the file alone', async t => {
  const of = (...options: string[]) => ({ ...choice, options })
  t.throws(() => checkChoice(of('--config', 'vmbridge.yaml'), 'linux'), { message: /no absolute path/ })
  const file = of('--config', '/etc/vmbridge.yaml')
  t.throws(() => checkChoice({ ...file, bridged: 'en0' }, 'darwin'), { message: /--bridged with --config/ })
  t.doesNotThrow(() => checkChoice(file, 'darwin'))
  t.strictSame(linuxDefinition(file).args, [
    'daemon',
    '--control',
    '/run/vmbridge/control.sock',
    '--config',
    '/etc/vmbridge.yaml',
  ])
  t.strictSame(macDefinition(file).args.slice(0, -4), [
    'daemon',
    '--control',
    '/var/run/vmbridge/control.sock',
    '--pidfile',
    '/var/run/vmbridge/vmbridge.pid',
  ])
  for (const { args } of [linuxDefinition(file), macDefinition(file)]) {
    const parsed = parseCommand(command, args.slice(1), {})!
    t.match(configFileOf(parsed, command.options), { file: '/etc/vmbridge.yaml', isNamed: true })
  }
  const { status, stderr } = await vmbridge([
    'service',
    'install',
    '--',
    '--config',
    '/nowhere/vmbridge.yaml',
  ])
  t.equal(status, 1)
  t.match(stderr, /there is no file \/nowhere\/vmbridge\.yaml/)
})

t.test("the system's programs see nothing of the caller's environment", async t => {
  process.env['VBT_CALLERS'] = 'own'
  t.teardown(() => delete process.env['VBT_CALLERS'])
  const { status, stdout } = await thisHost.run('/usr/bin/env', [])
  t.equal(status, 0)
  t.match(stdout, /^PATH=\/usr\/bin:\/bin:\/usr\/sbin:\/sbin$/m)
  t.notMatch(stdout, /VBT_CALLERS|^HOME=/m)
})

t.test('no option can hold more than a word of the definition', async t => {
  for (const option of ['--domain=a\nExecStartPre=/bin/sh', 'a\u0000', '\u001b[0m', 'a\r', 'a\u007f'])
    t.throws(
      () => checkChoice({ ...choice, options: ['--domain', option] }, 'linux'),
      { code: 'ERR_USAGE', message: /control character/ },
      JSON.stringify(option),
    )
  t.doesNotThrow(() => checkChoice({ ...choice, options: ['--domain', 'a b;\u00e9 "\''] }, 'linux'))
})

t.test('a unit whose networks are in a file may be a router, and reads the file again', async t => {
  const unit = (...options: string[]) => renderUnit(linuxDefinition({ ...choice, options }))
  for (const lines of [unit('--config', '/etc/vmbridge.yaml'), unit('--mode', 'shared')])
    t.match(lines, /^AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE$/m)
  t.match(
    unit('--config', '/etc/vmbridge.yaml'),
    /^ExecStart=.*\n(#.*\n)?ExecReload=\/bin\/kill -HUP \$MAINPID$/m,
  )
  t.notMatch(unit('--mode', 'host'), /ExecReload|CAP_NET_BIND_SERVICE/)
})

t.test('in the unit, words of the command line stay words, and the group follows the option', async t => {
  const options = ['--domain', 'a b', '--dns=%h', '--gateway', '$HOME', '--socket-group', 'staff', '--x="\\']
  const unit = renderUnit(linuxDefinition({ ...choice, options }))
  const line = /^ExecStart=.*--state-dir \S+ (.*)$/m.exec(unit)?.[1]
  t.equal(line, '--domain "a b" --dns=%%h --gateway $$HOME --socket-group staff "--x=\\"\\\\"')
  t.match(unit, /^SupplementaryGroups=staff$/m)
})

t.test('status tells the daemon of the service from another that has its place', async t => {
  const service = {
    manager: 'launchd' as const,
    name: 'io.github.vmbridge',
    definition: '/x.plist',
    installed: true,
    loaded: true,
    enabled: false,
    running: true,
    pid: 7,
    state: 'running',
    lastExit: 'status 1',
    control: '/c',
    stateDir: '/s',
    log: '/l',
  }
  const daemon = { version: '1.0', pid: 7, uptime: 61, networks: [] }
  t.equal(
    renderState(service, daemon),
    [
      'io.github.vmbridge (launchd)',
      '  installed  yes, /x.plist',
      '  loaded     yes',
      '  at boot    no',
      '  running    yes, PID 7',
      '  last exit  status 1',
      '  daemon     vmbridge 1.0, PID 7, up 1m1s',
      '  log        /l',
      '  leases     /s',
      '',
    ].join('\n'),
  )
  t.match(renderState(service, { ...daemon, pid: 8 }), /PID 8, up 1m1s; that is not the service\n/)
  t.match(renderState(service, undefined), /no answer at \/c; with sudo there may be one\n/)
})

// networks.yaml as a person may have written it: what is wrong is named with its line and column.

import { join } from 'node:path'
import t from 'tap'
import { readConfig } from '../../../src/compat/lima/config.js'
import { findProgram, networksFile, readSetup } from '../../../src/compat/lima/setup.js'
import { asNobody } from '../../cli/command.js'
import { execute } from '../../helpers/child.js'
import { requires } from '../../helpers/requires.js'
import { ROOT } from '../../helpers/root.js'
import { FakeMac, FILE, PROGRAM } from './mac.js'

const FOUND_IN_PATH = '/usr/bin/socket_vmnet'
const HOMEBREW = ['/usr/local', '/opt/homebrew'].map(prefix => `${prefix}/opt/socket_vmnet/bin/socket_vmnet`)

t.test('what Lima would refuse, with its place', async t => {
  const wrong: [text: string, says: RegExp][] = [
    ['group: a\ngroup: b\n', /line 2, column 1: .*unique/],
    ['paths:\n  varRun: [a]\n', /line 2, column 11: varRun is no text/],
    ['paths:\n  - a\n', /line 2, column 3: paths is no mapping/],
    ['networks: []\n', /line 1, column 11: networks is no mapping/],
    [
      'networks:\n  a: {mode: host, gateway: 1.2.3.04}\n',
      /line 2, column 28: gateway "1\.2\.3\.04" is no IPv4/,
    ],
    ['networks:\n  a: {mode: host, dhcpEnd: ::1}\n', /line 2, column 28: dhcpEnd "::1" is no IPv4/],
    ['group: 010\n', /line 1, column 8: group 010: write it in quotes/],
    ['networks:\n  a: &x {mode: host}\n  b: {<<: *x}\n', /line 3, column 7: a merge key/],
    ['group: [a\n', /line 2, column 1: /],
    ['- a\n', /line 1, column 1: the file is no mapping/],
    ['networks:\n  a: *nobody\n', /line 2, column 6: /],
  ]
  for (const [text, message] of wrong)
    t.throws(() => readConfig(text, FILE), { code: 'ERR_LIMA_CONFIG', message, hint: /correct it/ }, text)
  t.throws(() => readConfig(wrong[0][0], FILE), {
    message: /^\/Users\/anna\/\.lima\/_config\/networks\.yaml: /,
  })
})

t.test('what Lima takes: YAML 1.2, aliases, quotes, nothing at all', async t => {
  const { config, unknown } = readConfig(
    'group: 20\nnetworks:\n  a: &x {mode: "host", gateway: \'1.1.1.1\', interface: ~}\n  b: *x\n  yes:\n',
    FILE,
  )
  t.equal(config.group, '20')
  t.equal(config.varRun, '')
  t.strictSame(unknown, [])
  const host = { mode: 'host', interface: '', gateway: '1.1.1.1', dhcpEnd: '', netmask: '' }
  t.strictSame(config.networks.get('a'), host)
  t.strictSame(config.networks.get('b'), host)
  t.equal(config.networks.get('yes')?.mode, '')
  t.strictSame([...readConfig('', FILE).config.networks.keys()], ['user-v2'])
})

t.test('Lima adds its own network where there is none of that mode with a gateway', async t => {
  const namesOf = (fields: string) => [
    ...readConfig(`networks: {mine: {${fields}}}`, FILE).config.networks.keys(),
  ]
  t.strictSame(namesOf('mode: user-v2, gateway: 10.9.0.1'), ['mine'])
  t.strictSame(namesOf('mode: user-v2'), ['mine', 'user-v2'])
  t.strictSame(namesOf('mode: host, gateway: 10.9.0.1'), ['mine', 'user-v2'])
})

t.test('what Lima only warns of is named with its place', async t => {
  const { unknown } = readConfig('Group: x\npaths:\n  vdeSwitch: /x\nnetworks:\n  a: {mtu: 1}\n', FILE)
  t.strictSame(unknown.sort(), [
    'Group (line 1, column 1)',
    'mtu (line 5, column 7)',
    'vdeSwitch (line 3, column 3)',
  ])
  t.strictSame(readConfig('"a\\nb": x', FILE).unknown, ['"a\\nb" (line 1, column 1)'], 'on one line')
})

t.test('an alias that multiplies is not multiplied', async t => {
  const bomb = [
    'a: &a [x, x]',
    ...[...'bcdefghijklmnopqrstuvwxyz'].map(
      (c, i) => `${c}: &${c} [${`*${'abcdefghijklmnopqrstuvwxyz'[i]}, `.repeat(9)}]`,
    ),
  ]
  t.equal(readConfig(bomb.join('\n'), FILE).unknown.length, 26)
})

t.test("where the file is: LIMA_HOME, or .lima at home, free of the folder's links", async t => {
  const mac = new FakeMac()
  t.equal(networksFile(mac), FILE)
  mac.put('/Users/anna/.lima', { kind: 'link', target: '/Volumes/x/lima' })
  t.equal(networksFile(mac), '/Volumes/x/lima/_config/networks.yaml')
  mac.env['LIMA_HOME'] = '/elsewhere'
  t.equal(networksFile(mac), '/elsewhere/_config/networks.yaml')
})

t.test('a file that cannot be read is not taken for one that is not there', async t => {
  const mac = new FakeMac()
  mac.put(FILE, { error: 'EACCES' })
  t.throws(() => readSetup(mac, FILE), { code: 'ERR_LIMA_CONFIG', message: /^cannot read .*EACCES/ })
  mac.remove(FILE)
  t.equal(readSetup(mac, FILE).isWritten, false)
})

t.test('Lima looks in /opt/socket_vmnet, then in PATH, then with Homebrew, Intel first', async t => {
  const mac = new FakeMac()
  for (const path of [FOUND_IN_PATH, ...HOMEBREW]) mac.put(path, { mode: 0o755 })
  for (const place of [PROGRAM, FOUND_IN_PATH, ...HOMEBREW]) {
    t.equal(findProgram(mac), place)
    mac.remove(place)
  }
  t.equal(findProgram(mac), PROGRAM, 'and without any names the first')
})

t.test('what it finds is free of links; a relative folder of PATH is not taken, nor passed over', async t => {
  const mac = new FakeMac()
  mac.remove(PROGRAM)
  const cellar = '/opt/homebrew/Cellar/socket_vmnet/1.2.2/bin/socket_vmnet'
  mac.put(cellar, { mode: 0o755 })
  mac.put(HOMEBREW[1], { kind: 'link', target: cellar })
  t.equal(findProgram(mac), cellar)
  mac.put(FOUND_IN_PATH, { mode: 0o755 })
  mac.put('socket_vmnet', { mode: 0o755 })
  mac.env['PATH'] = ':/usr/bin'
  t.equal(findProgram(mac), cellar)
  mac.env['PATH'] = '/usr/bin:'
  t.equal(findProgram(mac), FOUND_IN_PATH)
  mac.put(FOUND_IN_PATH, { mode: 0o644 })
  t.equal(findProgram(mac), cellar, 'a file that is no program is passed over')
})

t.test('a user whom the system does not know, without HOME', { skip: requires(['root']) }, async t => {
  const stranger = asNobody([]).map(word => word.replace('65534', '54321'))
  const lima = [process.execPath, join(ROOT, 'dist/src/cli/bin.js'), 'lima', 'print-sudoers']
  const { status, stdout, stderr } = await execute(['env', '-i', 'PATH=/usr/bin:/bin', ...stranger, ...lima])
  t.strictSame({ status, stdout }, { status: 1, stdout: '' })
  t.match(stderr, /^vmbridge: the user 54321 has no home\n {2}try: set HOME or LIMA_HOME/)
})

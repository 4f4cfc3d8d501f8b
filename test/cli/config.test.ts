// `vmbridge config` as a person calls it.

import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { VMBRIDGE } from '../helpers/root.js'
import { asNobody, NOBODY, scratch, vmbridge } from './command.js'

const put = (folder: string, text: string): string => {
  const file = join(folder, 'vmbridge.yaml')
  writeFileSync(file, text, { mode: 0o644 })
  return file
}

const WRONG = 'networks:\n  lab:\n    gatway: 10.0.0.1/24\n    mtu: 12\n'

t.test('a file that begins with init validates, is whole, and is not overwritten', async t => {
  const folder = scratch(t)
  const file = join(folder, 'vmbridge.yaml')
  t.same(await vmbridge(['config', 'init', file]), { status: 0, stdout: `wrote ${file}\n`, stderr: '' })
  t.equal(statSync(file).mode & 0o022, 0)
  t.same(readdirSync(folder), ['vmbridge.yaml'], 'nothing beside it is left')
  t.same(await vmbridge(['config', 'validate', file]), {
    status: 0,
    stdout: `${file}: ok, 1 network\n`,
    stderr: '',
  })
  const printed = await vmbridge(['config', 'init', '-'])
  t.equal(printed.stdout, readFileSync(file, 'utf8'))
  writeFileSync(file, 'mine')
  const again = await vmbridge(['config', 'init', file])
  t.equal(again.status, 1)
  t.match(again.stderr, /is there already\n {2}try: another name/)
  t.equal(readFileSync(file, 'utf8'), 'mine')
  t.same(readdirSync(folder), ['vmbridge.yaml'])
  const nowhere = await vmbridge(['config', 'init', join(folder, 'none', 'x.yaml')])
  t.equal(nowhere.status, 1)
  t.match(nowhere.stderr, /cannot write .*ENOENT/)
})

t.test('without a name it is the file that the daemon would read', async t => {
  const file = put(scratch(t), WRONG)
  const { status, stdout } = await vmbridge(['config', 'validate'], { env: { VMBRIDGE_CONFIG: file } })
  t.equal(status, 1)
  t.match(stdout, `${file}:3:5: gatway is not a key`)
})

t.test('validate names every fault as compilers do, and exits 1', async t => {
  const folder = scratch(t)
  const file = put(folder, WRONG)
  const says = [
    ':3:5: gatway is not a key of a network; did you mean gateway?',
    ':4:10: mtu 12 is not a number of bytes from 576 to 65500; try mtu: 1500',
  ]
  const { status, stdout, stderr } = await vmbridge(['config', 'validate', file])
  t.same([status, stderr], [1, ''])
  t.equal(stdout, says.map(each => `${file}${each}\n`).join(''))
  const short = await vmbridge(['config', 'validate', 'vmbridge.yaml'], { cwd: folder })
  t.equal(short.stdout, says.map(each => `vmbridge.yaml${each}\n`).join(''), 'by the name that was given')
  const json = await vmbridge(['config', 'validate', '--json', file])
  t.equal(json.status, 1)
  t.match(JSON.parse(json.stdout), {
    file,
    ok: false,
    faults: [
      { line: 3, column: 5, message: 'gatway is not a key of a network', hint: 'did you mean gateway?' },
      { line: 4, column: 10 },
    ],
  })
  const fine = await vmbridge(['config', 'validate', '--json', put(folder, 'networks: {}\n')])
  t.same([fine.status, JSON.parse(fine.stdout)], [0, { file, ok: true, faults: [] }])
})

t.test('what a terminal would obey is not printed', async t => {
  const { stdout } = await vmbridge([
    'config',
    'validate',
    put(scratch(t), '"\u009b2J": 1\nnetworks: { a: { domain: "\u009b2J" } }\n'),
  ])
  t.match(stdout, /^[^\u0080-\u009f]*$/)
  t.equal(stdout.split('\n').length, 3)
})

t.test('show fills in what is left out, and means the same', async t => {
  const folder = scratch(t)
  const file = put(
    folder,
    'networks:\n  lab: { uplink: none, gateway: 10.7.0.1/24, reservations: [{ ip: 10.7.0.9, name: a }] }\n  lan: { dhcp: false }\n',
  )
  const { status, stdout } = await vmbridge(['config', 'show', file])
  t.equal(status, 0)
  t.match(
    stdout,
    /^control: \/.*\nsocket-mode: "0660"\nlog-level: info\nlog-format: pretty\nnetworks:\n {2}lab:\n/,
  )
  t.match(
    stdout,
    /dhcp: pool\n {4}dhcp-range: 10\.7\.0\.2-10\.7\.0\.199\n {4}dns: 10\.7\.0\.1\n {4}lease-time: 3600s\n/,
  )
  t.match(stdout, /reservations:\n {6}- ip: 10\.7\.0\.9\n {8}name: a\n/)
  t.match(
    stdout,
    /gateway: 192\.168\.105\.1\/24\n {4}mtu: 1500\n {4}state-dir: .*\/lan\n {4}dhcp: passthrough\n$/,
  )
  const json = JSON.parse((await vmbridge(['config', 'show', '--json', file])).stdout)
  t.match(json, { networks: { lab: { mtu: 1500, dhcp: 'pool' }, lan: { dhcp: 'passthrough' } } })
  const again = await vmbridge(['config', 'show', put(folder, stdout)])
  t.equal(again.stdout, stdout)
  const wrong = await vmbridge(['config', 'show', put(folder, WRONG)])
  t.same([wrong.status, wrong.stdout], [1, ''])
  t.match(wrong.stderr, /:3:5: gatway/)
})

t.test(
  'without a file it is the user’s own, and init makes the folder for it',
  { skip: requires(['linux', 'root', 'setpriv']) },
  async t => {
    const folder = scratch(t)
    const home = join(folder, 'home')
    mkdirSync(home)
    chmodSync(home, 0o777)
    const env = { HOME: home, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: folder }
    const run = (...args: string[]) => execute(asNobody([VMBRIDGE, 'config', ...args]), { env })
    const none = await run('validate')
    t.equal(none.status, 1)
    t.match(none.stderr, `there is no file ${home}/.config/vmbridge.yaml\n  try: vmbridge config init`)
    t.equal((await run('init')).status, 0)
    const file = join(home, '.config', 'vmbridge.yaml')
    t.equal(statSync(file).uid, NOBODY)
    t.same(await run('validate'), { status: 0, stdout: `${file}: ok, 1 network\n`, stderr: '' })
    t.match((await run('show')).stdout, `control: ${folder}/vmbridge/control.sock\n`)
  },
)

t.test('what config is not asked', async t => {
  for (const [args, says] of [
    [[], /config takes a verb/],
    [['check'], /config has no "check"/],
    [['validate', 'a', 'b'], /takes one file, but got "b" too/],
    [['validate', ''], /takes a path/],
    [['init', '--json'], /--json is for validate and show/],
  ] as const) {
    const { status, stderr } = await vmbridge(['config', ...args])
    t.equal(status, 2)
    t.match(stderr, says)
  }
  const help = await vmbridge(['config', '--help'])
  t.match(help.stdout, /vmbridge config validate lab\.yaml/)
})

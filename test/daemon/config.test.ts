// `vmbridge daemon --config`: the networks of a file, what wins over it, and reading it again while VMs are plugged in.

import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch, vmbridge, type Outcome } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import type { Scope } from '../helpers/daemon.js'
import { VMBRIDGE } from '../helpers/root.js'

t.setTimeout(90_000)

interface Place {
  folder: string
  file: string
  control: string
}

/** A file with its places in a folder of the test. */
function place(t: Scope, networks: (folder: string) => string): Place {
  const folder = scratch(t)
  const [file, control] = [join(folder, 'vmbridge.yaml'), join(folder, 'c')]
  const top = `control: ${control}\nstate-dir: ${folder}/state\nlog-format: json\n`
  writeFileSync(file, top + networks(folder), { mode: 0o644 })
  return { folder, file, control }
}

async function start(t: Scope, { file }: Place, args: readonly string[] = []): Promise<Child> {
  const child = Child.launch([VMBRIDGE, 'daemon', '--config', file, ...args])
  t.teardown(() => child.close('SIGTERM'))
  await child.waitForLine(/daemon\.ready/)
  return child
}

const ask = async (...args: string[]) => {
  const { status, stdout, stderr } = await vmbridge([...args, '--json'])
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

const lab = (folder: string, name: string, octet: number, more = ''): string =>
  `  ${name}: { uplink: none, gateway: 10.${octet}.0.1/24, socket: ${folder}/${name}${more} }\n`

t.test('a daemon has the networks of its file, each with its socket and state', async t => {
  const at = place(
    t,
    folder => `networks:\n${lab(folder, 'default', 7)}${lab(folder, 'lab', 8, ', dhcp: false')}`,
  )
  const child = await start(t, at, ['--log-level', 'debug'])
  const { networks } = await ask('networks', '--control', at.control)
  t.match(networks, [
    {
      name: 'default',
      kind: 'standing',
      sockets: [join(at.folder, 'default')],
      gateway: '10.7.0.1/24',
      dhcp: 'pool',
    },
    {
      name: 'lab',
      kind: 'standing',
      sockets: [join(at.folder, 'lab')],
      gateway: '10.8.0.1/24',
      dhcp: 'passthrough',
    },
  ])
  t.ok(existsSync(join(at.folder, 'state', 'default', 'lock')))
  t.match(child.text(), /"level":"?(20|debug)/, 'the flag wins over the file, and the format is the file’s')
  t.equal((await child.close('SIGTERM')).code, 0)
  for (const name of ['default', 'lab', 'c']) t.notOk(existsSync(join(at.folder, name)), name)
})

t.test('a file that is wrong is told with all faults, exit 2, before anything is made', async t => {
  const at = place(t, folder => `networks:\n${lab(folder, 'a', 7, ', mtu: 1')}${lab(folder, 'b', 300)}`)
  const { status, stdout, stderr } = await vmbridge(['daemon', '--config', at.file])
  t.same([status, stdout], [2, ''])
  t.match(stderr.split('\n'), [
    `vmbridge: ${at.file}:5:${61 + at.folder.length}: mtu 1 is not a number of bytes`,
    `${at.file}:6:31: gateway 10.300.0.1/24 is not an address with a prefix length`,
    `  try: vmbridge config validate ${at.file}`,
    '',
  ])
  t.notOk(existsSync(join(at.folder, 'a')))
  t.notOk(existsSync(join(at.folder, 'state')))
})

t.test('a file that cannot be read is no usage error: exit 1', async t => {
  const at = place(t, folder => `networks:\n${lab(folder, 'a', 7)}`)
  const fails = async (file: string, says: RegExp): Promise<void> => {
    const { status, stderr }: Outcome = await vmbridge(['daemon', '--config', file])
    t.equal(status, 1)
    t.match(stderr, says)
  }
  await fails(join(at.folder, 'none'), /there is no file \S+none\n {2}try: vmbridge config init/)
  await fails(at.folder, /not a regular file/)
  if (process.getuid?.() !== 0) return
  chmodSync(at.file, 0o666)
  await fails(at.file, /not read by root: others than root may write it.*\n {2}try: chmod go-w \S+/)
})

t.test('an option of a network has no place beside the file', async t => {
  const at = place(t, folder => `networks:\n${lab(folder, 'a', 7)}`)
  const { status, stderr } = await vmbridge(['daemon', '--config', at.file, '--gateway', '10.0.0.1/24'])
  t.equal(status, 2)
  t.match(stderr, /--gateway with --config: the file says what its networks are/)
  const operand = await vmbridge(['daemon', '--config', at.file, 'x'])
  t.match(operand, { status: 2, stderr: /takes no operand, but got "x"/ })
})

t.test(
  'SIGHUP reads the file again: what did not change does not notice, reservations come and go in place',
  async t => {
    const networks = (folder: string, more: string, reservations: string) =>
      `# ${'a line more\n# '.repeat(more.length)}\nnetworks:\n${lab(folder, 'stays', 7, `, reservations: [${reservations}]`)}${more}`
    const at = place(t, folder => networks(folder, lab(folder, 'goes', 8), '{ ip: 10.7.0.9, name: a }'))
    const child = await start(t, at)
    const holder = Child.launch([VMBRIDGE, 'run', '--socket', join(at.folder, 'stays'), '--', 'sleep', '600'])
    t.teardown(() => holder.close())
    await child.waitForLine(/"event":"port\.up"/)
    const portsOf = async (): Promise<unknown> => {
      const status = await ask('status', '--control', at.control)
      return status.networks
        .find(({ name }: { name: string }) => name === 'stays')
        .ports.filter(({ role }: { role: string }) => role === 'vm')
        .map(({ name, since }: { name: string; since: string }) => [name, since])
    }
    const reservationsOf = async (): Promise<string[]> => {
      const list = await ask('reservations', '--control', at.control, '--network', 'stays')
      return list.reservations.map(({ ip }: { ip: string }) => ip)
    }
    const before = await portsOf()
    t.match(before, [[String, String]])
    t.same(await reservationsOf(), ['10.7.0.9'])
    const removed = await vmbridge([
      'reservations',
      'remove',
      '10.7.0.9',
      '--control',
      at.control,
      '--network',
      'stays',
    ])
    t.match(removed, {
      status: 1,
      stderr: /10\.7\.0\.9 for the name a is in the file \S+, line \d+\n {2}try: take it out/,
    })

    let seen = child.lines.length
    const reload = async (text: string): Promise<void> => {
      seen = child.lines.length
      const top = `control: ${at.control}\nstate-dir: ${at.folder}/state\nlog-format: json\n`
      writeFileSync(at.file, top + text)
      child.kill('SIGHUP')
      await child.waitForLine(/config\.reload/, { from: seen })
    }
    await reload(
      networks(
        at.folder,
        lab(at.folder, 'comes', 9),
        '{ ip: 10.7.0.9, name: a }, { ip: 10.7.0.10, name: b }',
      ),
    )
    const { networks: now } = await ask('networks', '--control', at.control)
    t.same(now.map(({ name }: { name: string }) => name).sort(), ['comes', 'stays'])
    t.same(await portsOf(), before, 'the VM did not notice')
    t.same(await reservationsOf(), ['10.7.0.9', '10.7.0.10'])

    await reload(networks(at.folder, lab(at.folder, 'comes', 9), '{ ip: 10.99.0.9, name: a }'))
    const told = child.lines
      .slice(seen)
      .map(line => line.text)
      .join('\n')
    t.match(told, /nothing was changed: .*:\d+:\d+: 10\.99\.0\.9 is not in 10\.7\.0\.1\/24/)
    t.same(await reservationsOf(), ['10.7.0.9', '10.7.0.10'])
    t.same(await portsOf(), before)

    await reload(networks(at.folder, '', ''))
    t.same(await reservationsOf(), [])
    t.same(await portsOf(), before)
  },
)

t.test('a network of the file that has no room comes up when the one on demand goes', async t => {
  const at = place(t, folder => `networks:\n${lab(folder, 'stays', 7)}`)
  const child = await start(t, at)
  const demand = await ask('network', 'add', '10.8.0.1/24', '--mode', 'none', '--control', at.control)
  const reload = async (text: string): Promise<number> => {
    const from = child.lines.length
    const top = `control: ${at.control}\nstate-dir: ${at.folder}/state\nlog-format: json\n`
    writeFileSync(at.file, `${top}networks:\n${lab(at.folder, 'stays', 7)}${text}`)
    child.kill('SIGHUP')
    await child.waitForLine(/config\.reload/, { from })
    return from
  }
  const namesOf = async () => {
    const { networks } = await ask('networks', '--control', at.control)
    return networks.map(({ name }: { name: string }) => name)
  }
  const before = await reload(`${lab(at.folder, 'lab', 8)}${lab(at.folder, 'other', 9)}`)
  await child.waitForLine(
    /network\.failed.*10\.8\.0\.1\/24 is the network 10\.8\.0\.1-24 on demand until its last VM leaves/,
    {
      from: before,
    },
  )
  t.same(await namesOf(), ['stays', 'other', demand.network.name])

  const from = child.lines.length
  await ask('network', 'remove', demand.network.name, '--control', at.control)
  await child.waitForLine(/network\.up.*the network lab is up/, { from })
  t.same(await namesOf(), ['stays', 'other', 'lab'])

  // What the file has no more is not waited for.
  await reload('')
  const again = await ask('network', 'add', '10.9.0.1/24', '--mode', 'none', '--control', at.control)
  await reload(lab(at.folder, 'other', 9))
  await reload('')
  await ask('network', 'remove', again.network.name, '--control', at.control)
  t.same(await namesOf(), ['stays'])
})

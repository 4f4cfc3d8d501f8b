// A state folder is one network's: a second daemon on it stops, with DHCP or without, and has changed nothing.

import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lockState, lockUsableState } from '../../src/daemon/state-lock.js'
import { scratch, vmbridge } from '../cli/command.js'
import { startDaemon } from '../helpers/daemon.js'
import { BROADCAST, Station, textFrame } from './station.js'

t.setTimeout(120_000)

for (const lock of [lockState, lockUsableState]) {
  t.test(`${lock.name}: a folder is held once, and free again when it is let go`, async t => {
    const folder = join(scratch(t), 'a', 'state')
    const held = lock(folder)!
    t.throws(() => lock(folder), { code: 'ERR_STATE_IN_USE', message: folder, hint: /--state-dir/ })
    held.release()
    t.ok(existsSync(folder), 'it stays for the next one')
    lock(folder)!.release()
  })

  t.test(`${lock.name}: a start that fails takes away what it made, and nothing else`, async t => {
    const parent = scratch(t)
    const folder = join(parent, 'a', 'state')
    lock(folder)!.abandon()
    t.same(readdirSync(parent), [], 'the folders that were not there')

    mkdirSync(join(parent, 'a'))
    writeFileSync(join(parent, 'a', 'other'), '')
    lock(folder)!.abandon()
    t.same(readdirSync(join(parent, 'a')), ['other'], 'a folder that was there stays')

    const held = lock(folder)!
    writeFileSync(join(folder, 'leases'), '')
    held.abandon()
    t.same(readdirSync(folder), ['leases'], 'what was kept stays')

    lock(folder)!.abandon()
    t.same(readdirSync(folder).sort(), ['leases', 'lock'], 'and so does a folder of an earlier life')
    lock(folder)!.release()
  })
}

t.test('a folder in which nothing can be kept: no start where leases are, and a start elsewhere', async t => {
  const folder = scratch(t)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  const victim = join(folder, 'victim')
  const other = scratch(t)
  symlinkSync(victim, join(other, 'lock'))
  for (const path of [file, other]) {
    t.throws(() => lockState(path), { code: 'ERR_STATE_DIR', message: path, hint: /--state-dir/ })
    t.equal(lockUsableState(path), undefined)
  }
  t.notOk(existsSync(victim), 'a link is not followed')
})

const MAC = '52:54:00:00:00:0a'

for (const dhcp of [['--no-dhcp'], []]) {
  const how = dhcp.length > 0 ? 'without DHCP' : 'with DHCP'
  t.test(`two daemons on one --state-dir, ${how}: the second says whose it is and stops`, async t => {
    const folder = scratch(t)
    const stateDir = join(folder, 'state')
    const daemon = await startDaemon(t, { stateDir, args: ['--uplink', 'none', ...dhcp] })
    const names = join(stateDir, 'ports.json')
    const vm = await Station.plug(t, daemon)
    vm.send(textFrame(BROADCAST, MAC, 'its name is kept'))
    while (!existsSync(names) || !readFileSync(names, 'utf8').includes(MAC)) await daemon.status()
    const kept = readFileSync(names)

    const [socket, control] = ['s', 'c'].map(name => join(folder, name))
    const places = ['--socket', socket, '--control', control, '--state-dir', stateDir]
    const second = await vmbridge(['daemon', ...places, '--uplink', 'none', ...dhcp])
    t.equal(second.status, 1)
    t.ok(second.stderr.includes(`another daemon keeps its state in ${stateDir}\n  try: `), second.stderr)
    t.notOk(existsSync(socket), 'its socket is gone again')
    t.same(readFileSync(names), kept, 'the names are as they were')

    await daemon.stop()
    const third = await startDaemon(t, { stateDir, args: ['--uplink', 'none', ...dhcp] })
    t.ok(third.pid, 'the folder is free when the first has ended')
  })
}

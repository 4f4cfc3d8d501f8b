// Shares and rates as documented, and two files in places where they should not be.

import { readdirSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { DHCP_RATE, SegmentInspector } from '../../src/daemon/inspector.js'
import { SYSTEM_DISK } from '../../src/dhcp/journal-disk.js'
import { LeaseJournal } from '../../src/dhcp/journal.js'
import { Neighbors, PORT_SHARE, UPLINK_SHARE } from '../../src/neighbors/neighbors.js'
import { Port, type PortRole } from '../../src/switch/port.js'
import { ARP_REQUEST, arpFrame } from '../../src/wire/arp.js'
import { MAC_BROADCAST } from '../../src/wire/mac.js'
import { FakeClock, ip, RecordedLog, station } from '../dhcp/segment.js'

function plugged(inspector: SegmentInspector, role: PortRole, id: number): Port {
  const port = new Port({ name: `${role}${id}`, role })
  port.id = id
  inspector.addPort(port)
  return port
}

t.test('claims: an uplink has its own share, and a port that closed claims nothing', async t => {
  const neighbors = new Neighbors()
  const inspector = new SegmentInspector({ neighbors, guarded: true })
  const claim = (port: Port, count: number, first: string): void => {
    for (let n = 0; n < count; n++) {
      const senderIp = ip(first) + n
      const message = {
        operation: ARP_REQUEST,
        senderMac: station(7),
        senderIp,
        targetMac: { hi: 0, lo: 0 },
        targetIp: senderIp,
      }
      const frame = arpFrame(MAC_BROADCAST, message)
      inspector.inspect(frame, 0, frame.length, port, 0)
    }
  }
  claim(plugged(inspector, 'uplink', 0), UPLINK_SHARE + 1, '10.0.0.1')
  t.equal(neighbors.list(0).length, UPLINK_SHARE)
  claim(plugged(inspector, 'vm', 1), PORT_SHARE + 1, '10.1.0.1')
  t.equal(neighbors.list(0).length, UPLINK_SHARE + PORT_SHARE)
  inspector.forgetPort(1)
  t.equal(neighbors.list(0).length, UPLINK_SHARE)
})

t.test('the usual rate is as documented', async t => {
  t.same(DHCP_RATE, { perSecond: 8000, burst: 2000 })
})

t.test('one broken record is enough to be told, and to be kept', async t => {
  const folder = t.testdir()
  const path = join(folder, 'leases.journal')
  const log = new RecordedLog()
  const clock = new FakeClock()
  const journal = new LeaseJournal({ path, log, clock })
  const lease = {
    ip: ip('10.0.0.1'),
    key: 'hw:52:54:00:00:00:01',
    mac: station(1),
    expires: clock.now() + 1000,
  }
  await journal.save(undefined, () => ({ leases: [lease], declined: [] }))
  await journal.close()
  writeFileSync(path, 'x\n', { flag: 'a' })
  await new LeaseJournal({ path, log, clock }).load()
  t.match(log.messages, [/1 of its 3 records cannot be read/])
  t.equal(readdirSync(folder).filter(name => name.includes('.broken-')).length, 1)
})

t.test('a FIFO in place of the journal is not waited for', { timeout: 5000 }, async t => {
  const folder = t.testdir()
  const path = join(folder, 'fifo')
  spawnSync('mkfifo', [path])
  await t.rejects(SYSTEM_DISK.read(path, 100), /not a file/)
})

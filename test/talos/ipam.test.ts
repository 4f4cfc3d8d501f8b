// ipam.db as talosctl writes it, and as anybody might.

import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseOptions } from '../../src/dhcp/option-config.js'
import { findPlanned } from '../../src/talos/ipam.js'
import { scratch } from '../cli/command.js'
import { execute } from '../helpers/child.js'
import { MAC, record } from './lines.js'

t.setTimeout(120_000)

const PLANNED = {
  ip: '10.5.0.2',
  mac: MAC,
  hostname: 'talos-default-controlplane-1',
  options: ['router=10.5.0.1', 'dns=8.8.8.8,1.1.1.1', 'mtu=1500'],
}

/** What is planned by a file of that content. */
function plan(t: Test) {
  const folder = scratch(t)
  const find = () => findPlanned(Buffer.from(folder), MAC)
  const by = (content: string | Buffer) => {
    writeFileSync(join(folder, 'ipam.db'), content)
    return find()
  }
  return { folder, find, by }
}

t.test('a record becomes a reservation', async t => {
  const { by } = plan(t)
  t.strictSame(by(record()), PLANNED)
  t.strictSame(by(record({ MAC: MAC.toUpperCase() })), PLANNED)
  const pxe = by(record({ TFTPServer: '10.5.0.1', IPXEBootFilename: 'ipxe/arm64/snp.efi' }))
  t.strictSame(pxe?.options.slice(3), [
    'next-server=10.5.0.1',
    'tftp-server=10.5.0.1',
    'boot-file=ipxe/arm64/snp.efi',
  ])
  t.strictSame(by(record({ TFTPServer: 'boot.lan' }))?.options.slice(3), ['tftp-server=boot.lan'], 'a name')
})

t.test('the last record of the MAC counts, and IPv6 does not', async t => {
  const { by } = plan(t)
  const other = record({ MAC: '52:54:00:00:00:01', IP: '10.5.0.9' })
  const ipv6 = record({
    IP: 'fd00::2',
    Netmask: 64,
    Gateway: 'fd00::1',
    Nameservers: ['2001:4860:4860::8888'],
  })
  t.strictSame(by(record({ IP: '10.5.0.7' }) + other + record() + ipv6 + other), PLANNED)
  t.equal(by(ipv6 + other), undefined)
})

t.test('half a record at the end is not there yet', async t => {
  const { by, folder, find } = plan(t)
  const next = record({ IP: '10.5.0.8' })
  t.strictSame(by(record() + next.slice(0, -20)), PLANNED)
  appendFileSync(join(folder, 'ipam.db'), next.slice(-20))
  t.equal(find()?.ip, '10.5.0.8')
})

t.test('a host name that is no label is sent as it is', async t => {
  const { by } = plan(t)
  for (const Hostname of ['a.b.c', 'talos_default-cp', '-']) {
    const planned = by(record({ Hostname }))
    t.notOk(planned?.hostname, Hostname)
    t.strictSame(parseOptions(planned!.options).options.get(12), new Uint8Array(Buffer.from(Hostname)))
  }
})

t.test('what cannot be said to a client is left out', async t => {
  const { by } = plan(t)
  const wrong = {
    Hostname: 'a\nb',
    Gateway: 'fd00::1',
    MTU: 0,
    Nameservers: ['x', 7, '8.8.8.8', null],
    TFTPServer: 'a\nb',
    IPXEBootFilename: 'x'.repeat(256),
  }
  t.strictSame(by(record(wrong)), { ip: '10.5.0.2', mac: MAC, options: ['dns=8.8.8.8'] })
  const none = {
    Hostname: '',
    Gateway: '',
    MTU: null,
    Nameservers: null,
    TFTPServer: 5,
    IPXEBootFilename: {},
  }
  t.strictSame(by(record(none)), { ip: '10.5.0.2', mac: MAC, options: [] })
  const many = Array.from({ length: 500 }, () => '8.8.8.8')
  t.equal(by(record({ Nameservers: many }))?.options[1]?.length, 'dns='.length + 63 * 8 - 1)
})

t.test('every option is one that the switch takes', async t => {
  const { by } = plan(t)
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('10.5.0.1', '', 'fd00::1', 'none', 'a=b'),
  )
  const anything = fc.oneof(text, fc.integer(), fc.constant(null), fc.array(text), fc.object())
  const fields = fc.record({
    Hostname: anything,
    Gateway: anything,
    MTU: fc.oneof(fc.integer({ min: -1, max: 70_000 }), anything),
    Nameservers: fc.oneof(fc.array(text), anything),
    TFTPServer: anything,
    IPXEBootFilename: anything,
  })
  fc.assert(
    fc.property(fields, wanted => {
      const reservation = by(record(wanted))
      if (reservation?.ip !== '10.5.0.2') throw new Error('not found')
      parseOptions(reservation.options)
    }),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('any bytes are no record', async t => {
  const { by } = plan(t)
  const lines = [
    '{',
    'null',
    '[]',
    '7',
    '"x"',
    '{"MAC":7}',
    `{"MAC":"${MAC}"}`,
    `{"MAC":"${MAC}","IP":"1.2.3"}`,
  ]
  t.equal(by(lines.join('\n')), undefined)
  t.equal(by(`{"MAC":"${MAC}","IP":${'['.repeat(2_000_000)}`), undefined, 'deep')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => by(Buffer.from(bytes)) === undefined),
    { numRuns: 300 },
  )
  t.strictSame(by(Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.from(record())])), PLANNED)
})

t.test('of a huge file the end is read', async t => {
  const { by, folder } = plan(t)
  const filler = `${'x'.repeat(1023)}\n`.repeat(8 * 1024)
  t.strictSame(by(filler + record()), PLANNED)
  t.equal(by(record() + filler), undefined, 'nobody keeps that many nodes')
  await execute(['truncate', '-s', '100G', join(folder, 'ipam.db')])
  t.equal(findPlanned(Buffer.from(folder), MAC), undefined)
})

t.test('what is no file is not waited for', async t => {
  const { folder, find } = plan(t)
  const path = join(folder, 'ipam.db')
  t.equal(find(), undefined, 'nothing there')
  mkdirSync(path)
  t.equal(find(), undefined, 'a folder')
  rmSync(path, { recursive: true })
  await execute(['mkfifo', path])
  t.equal(find(), undefined, 'a pipe that nobody writes')
  rmSync(path)
  symlinkSync('/dev/zero', path)
  t.equal(find(), undefined, 'a device without an end')
})

t.test('a folder of any name', async t => {
  const folder = Buffer.concat([Buffer.from(mkdtempSync(join(scratch(t), 'x'))), Buffer.from([0xff, 0x2c])])
  mkdirSync(folder)
  writeFileSync(Buffer.concat([folder, Buffer.from('/ipam.db')]), record())
  t.strictSame(findPlanned(folder, MAC), PLANNED)
})

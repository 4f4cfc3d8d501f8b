import fc from 'fast-check'
import t from 'tap'
import * as mac from '../../src/wire/mac.js'
import * as arbitrary from './dirty.js'

t.test('a MAC goes through text and bytes unchanged', async () => {
  fc.assert(
    fc.property(arbitrary.mac, fc.nat(9), ({ hi, lo }, at) => {
      const bytes = arbitrary.dirty(20)
      mac.writeMac(bytes, at, hi, lo)
      const read = { hi: mac.macHigh(bytes, at), lo: mac.macLow(bytes, at) }
      const untouched = bytes.filter((byte, i) => (i < at || i >= at + mac.MAC_LENGTH) && byte === 0xa5)
      return (
        read.hi === hi &&
        read.lo === lo &&
        untouched.length === 14 &&
        JSON.stringify(mac.parseMac(mac.formatMac(hi, lo))) === JSON.stringify({ hi, lo }) &&
        JSON.stringify(mac.macAt(bytes, at)) === JSON.stringify({ hi, lo })
      )
    }),
  )
})

t.test('text has lower-case octets with colons', async t => {
  t.equal(mac.formatMac(0x5254, 0x00ab_cdef), '52:54:00:ab:cd:ef')
  t.equal(mac.formatMac(0, 1), '00:00:00:00:00:01')
  t.equal(mac.formatMac(0xffff, 0xffffffff), 'ff:ff:ff:ff:ff:ff')
})

t.test('hyphens, capitals and the single digits of macOS are read', async t => {
  const wanted = { hi: 0x0a00, lo: 0x270001fe }
  for (const text of ['0a:00:27:00:01:fe', 'A:0:27:0:1:FE', '0A-00-27-00-01-FE']) {
    t.same(mac.parseMac(text), wanted, text)
  }
})

t.test('what is no MAC is undefined', async t => {
  const wrong = ['', '52:54:00:12:34', '52:54:00:12:34:56:78', '52:54:00:12:34:5g', '525400123456']
  for (const text of [...wrong, '52:54-00:12:34:56', ' 52:54:00:12:34:56', '52:54:00:12:34:567', '::::::']) {
    t.equal(mac.parseMac(text), undefined, text)
  }
})

t.test('group addresses and zero are no station', async t => {
  t.equal(mac.isStationMac(0x5254, 0), true)
  t.equal(mac.isStationMac(0, 1), true)
  t.equal(mac.isStationMac(0, 0), false)
  t.equal(mac.isStationMac(0x3333, 1), false)
})

import fc from 'fast-check'
import t from 'tap'
import * as nd from '../../src/wire/icmpv6.js'
import { isIpv6 } from '../../src/wire/ipv6.js'
import { placed } from './dirty.js'
import { neighborFrame, refresh } from './nd-frames.js'

const IP = 14
const ND = 54
const A = { hi: 0x5254, lo: 1 }

t.test('a solicitation and an advertisement with their options are read', async t => {
  for (const type of [nd.NEIGHBOR_SOLICITATION, nd.NEIGHBOR_ADVERTISEMENT]) {
    const frame = neighborFrame({ type, source: 'fe80::1', target: 'fe80::2', from: A, option: A })
    t.ok(isIpv6(frame, IP, frame.length - IP))
    t.ok(nd.isNeighborMessage(frame, IP, ND, frame.length - ND))
    const wanted =
      type === nd.NEIGHBOR_SOLICITATION ? nd.OPTION_SOURCE_LINK_LAYER : nd.OPTION_TARGET_LINK_LAYER
    const other =
      wanted === nd.OPTION_SOURCE_LINK_LAYER ? nd.OPTION_TARGET_LINK_LAYER : nd.OPTION_SOURCE_LINK_LAYER
    t.equal(nd.linkLayerOption(frame, ND, frame.length - ND, wanted), ND + 26)
    t.equal(nd.linkLayerOption(frame, ND, frame.length - ND, other), nd.ABSENT)
  }
})

t.test('what a host would not take is not taken', async t => {
  const make = (): Uint8Array =>
    neighborFrame({
      type: nd.NEIGHBOR_SOLICITATION,
      source: 'fe80::1',
      target: 'fe80::2',
      from: A,
      option: A,
    })
  const spoil = (at: number, value: number, summed = true): boolean => {
    const frame = make()
    frame[at] = value
    if (summed) refresh(frame)
    return nd.isNeighborMessage(frame, IP, ND, frame.length - ND)
  }
  t.equal(spoil(ND, nd.NEIGHBOR_ADVERTISEMENT), true, 'the spoiling itself does no harm')
  t.equal(spoil(IP + 7, 254), false, 'a hop limit of 254: it came through a router')
  t.equal(spoil(ND + 1, 1), false, 'code')
  t.equal(spoil(ND, 133), false, 'a router solicitation')
  t.equal(spoil(IP + 6, 17), false, 'UDP')
  t.equal(spoil(ND + 20, 0xee, false), false, 'checksum')
  t.equal(nd.isNeighborMessage(make(), IP, ND, 23), false, 'short')
})

t.test('an option of length zero, or past the end, spoils the message', async t => {
  const frame = neighborFrame({
    type: nd.NEIGHBOR_ADVERTISEMENT,
    source: 'fe80::1',
    target: '::2',
    from: A,
    option: A,
  })
  frame[ND + 25] = 0
  t.equal(nd.linkLayerOption(frame, ND, frame.length - ND, nd.OPTION_TARGET_LINK_LAYER), nd.MALFORMED)
  frame[ND + 25] = 2
  t.equal(nd.linkLayerOption(frame, ND, frame.length - ND, nd.OPTION_TARGET_LINK_LAYER), nd.MALFORMED)
  frame[ND + 25] = 1
  t.equal(nd.linkLayerOption(frame, ND, frame.length - ND - 7, nd.OPTION_TARGET_LINK_LAYER), nd.MALFORMED)
})

t.test('random bytes never throw and never loop', async () => {
  fc.assert(
    fc.property(placed, ({ run, at, length }) => {
      nd.isNeighborMessage(run, at, at, length)
      nd.linkLayerOption(run, at, length, nd.OPTION_SOURCE_LINK_LAYER)
    }),
  )
})

// Priority tags are seen through, VLANs are not, and nothing of either makes a reader leave the frame.

import fc from 'fast-check'
import t from 'tap'
import { etherType } from '../../src/wire/ethernet.js'
import { skipPriorityTags } from '../../src/wire/vlan.js'

const ADDRESSES = '525400000001525400000002'
const frameOf = (text: string): Buffer => Buffer.from(ADDRESSES + text, 'hex')
const innerType = (frame: Uint8Array): number => etherType(frame, skipPriorityTags(frame, 0, frame.length))

t.test('a frame with tags of VID 0, one or many, is read as if it had none', async t => {
  t.equal(skipPriorityTags(frameOf('0800'), 0, 14), 0)
  t.equal(innerType(frameOf('810000000800')), 0x0800)
  t.equal(innerType(frameOf('8100e0000800')), 0x0800, 'a priority, and no VLAN')
  t.equal(innerType(frameOf('88a80000810000000806')), 0x0806)
})

t.test('a frame of a VLAN is left as it is', async t => {
  t.equal(innerType(frameOf('810000050800')), 0x8100)
  t.equal(innerType(frameOf('8100000081000ffe0800')), 0x8100, 'behind a priority tag as well')
})

t.test('a tag that is cut is no tag, whatever stands behind the frame', async t => {
  const run = Buffer.concat([frameOf('81000000'), Buffer.alloc(64)])
  t.equal(skipPriorityTags(run, 0, 16), 0)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 14, maxLength: 80 }), bytes => {
      const at = skipPriorityTags(bytes, 0, bytes.length)
      return at >= 0 && at + 14 <= bytes.length
    }),
  )
})

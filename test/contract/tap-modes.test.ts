// The TAP uplink keeps the contract in shared and in bridged mode as well. The bytes take the same way as in host mode,
// so fewer of them do.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { CONTRACT_NEEDS, runContract } from './run.js'

t.setTimeout(1_200_000)

const FRAMES = 50_000

t.test('shared', { skip: requires([...CONTRACT_NEEDS, 'nft']) }, t =>
  runContract(t, 'shared', { frames: FRAMES }),
)
t.test('bridged', { skip: requires(CONTRACT_NEEDS) }, t => runContract(t, 'bridged', { frames: FRAMES }))

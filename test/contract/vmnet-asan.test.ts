// All cases of the contract for vmnet on the double, with fewer frames, under AddressSanitizer and UndefinedBehaviorSanitizer: a report ends the suite,
// which fails it.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { VARIANT_NEEDS, variantEnv } from '../helpers/variant.js'
import { CONTRACT_NEEDS, runContract } from './run.js'

t.setTimeout(1_200_000)

t.test('contract', { skip: requires([...CONTRACT_NEEDS, ...VARIANT_NEEDS]) }, t =>
  runContract(t, 'vmnet', { env: variantEnv('double-asan'), frames: 20_000 }),
)

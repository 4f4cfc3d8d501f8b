// The tap uplink keeps the contract.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { CONTRACT_NEEDS, runContract } from './run.js'

t.setTimeout(1_200_000)

t.test('contract', { skip: requires(CONTRACT_NEEDS) }, t => runContract(t, 'tap'))

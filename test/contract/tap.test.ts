// The tap uplink keeps the contract.

import t from 'tap'
import { requires } from '../helpers/requires.js'
import { CONTRACT_NEEDS, runContract } from './run.js'

t.setTimeout(600_000)

t.test('contract', { skip: requires(CONTRACT_NEEDS) }, t => runContract(t, 'tap'))

/**
 * What a check is. They run one after the other, in the order of their list.
 */

import type { Lab } from '../lab.js'
import type { Finding } from '../result.js'

export interface Check {
  /** The first word of its line. */
  name: string
  /** @throws CheckFailure, CheckSkipped, Interrupted */
  run(lab: Lab): Promise<Finding>
}

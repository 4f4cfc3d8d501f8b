/**
 * Reads what `vmbridge daemon` is told of the TAP: the same modes as vmnet has, with the same words.
 */

import { UsageError } from '../errors.js'
import type { TapChoice, TapMode } from '../uplink/uplink.js'
import type { Parsed } from './options.js'
import { parseChoice } from './values.js'
import { MODES, refuseForeign, refuseVmnetOptions } from './vmnet-settings.js'

/** What each mode has no use for, with the reason. */
const FOREIGN: Record<TapMode, Record<string, string>> = {
  bridged: {
    mtu: 'the MTU of a bridged network is that of the bridge',
  },
  shared: {
    interface: 'only --mode bridged has one',
    'dhcp-on-lan': 'only --mode bridged has a LAN',
    user: 'the way out could not be taken down without root; `vmbridge service install -- --mode shared` runs without root',
  },
  host: {
    interface: 'only --mode bridged has one',
    'dhcp-on-lan': 'only --mode bridged has a LAN',
  },
}

/**
 * @param uplink as it was said: `tap`, `tap:NAME` or `auto`
 * @param name of the device
 * @throws UsageError
 */
export function parseTap(parsed: Parsed, uplink: string, name?: string): TapChoice {
  refuseVmnetOptions(parsed, uplink)
  const given = parsed.get('mode')
  const mode = given === undefined ? 'host' : parseChoice('mode', given, MODES)
  refuseForeign(parsed, mode, FOREIGN[mode])
  const bridge = parsed.get('interface')
  if (mode === 'bridged' && bridge === undefined)
    throw new UsageError('--mode bridged needs --interface, a bridge of this host', 'vmbridge interfaces')
  return {
    kind: 'tap',
    ...(name !== undefined && { name }),
    ...(given !== undefined && { mode }),
    ...(bridge !== undefined && { interface: bridge }),
  }
}

/**
 * An interface of vmnet.framework with promises and time limits: the framework may never answer, neither to a start nor
 * to a stop.
 */

import { BridgeError } from '../errors.js'
import { native, type VmnetInterface, type VmnetOptions, type VmnetParameters } from '../native.js'
import { explainVmnet, surroundings, vmnetStatusName, vmnetTimeout } from './vmnet-errors.js'

/** Seconds to wait for vmnet_start_interface and vmnet_stop_interface. */
export const START_LIMIT = 10
export const STOP_LIMIT = 5

export interface RunningVmnet {
  readonly native: VmnetInterface
  readonly parameters: VmnetParameters
  /** Resolves to undefined once it has stopped, or to what went wrong; its port must be closed before. */
  stop(): Promise<string | undefined>
}

/** @throws BridgeError ERR_VMNET_UNSUPPORTED where there is no vmnet */
export function requireVmnet(): NonNullable<typeof native.VmnetInterface> {
  if (native.VmnetInterface !== undefined) return native.VmnetInterface
  throw new BridgeError('ERR_VMNET_UNSUPPORTED', 'vmnet exists on macOS only', {
    hint: 'use --uplink tap on Linux',
  })
}

/**
 * Starts an interface.
 * @param signal ends the wait; an interface that comes up later is stopped
 * @param limits seconds
 * @throws BridgeError ERR_VMNET_…, by the framework's status, or ERR_VMNET_TIMEOUT
 */
export function startVmnet(
  options: VmnetOptions,
  signal: AbortSignal,
  limits = { start: START_LIMIT, stop: STOP_LIMIT },
): Promise<RunningVmnet> {
  const Interface = requireVmnet()
  return new Promise((resolve, reject) => {
    let stopped = (_problem: string | undefined): void => {}
    // First of all: without descriptors it throws, and no timer may be left behind then.
    const made = new Interface(options, (state, status, call, bridgeable) => {
      finish()
      if (state === 'running') {
        resolve({ native: made, parameters: made.parameters()!, stop: () => stop() })
      } else if (call === 'vmnet_stop_interface' || state === 'stopped') {
        stopped(state === 'stopped' ? undefined : `${call}: ${vmnetStatusName(status)}`)
      } else {
        reject(explainVmnet(call, status, options, surroundings(bridgeable)))
      }
    })
    const giveUp = (error: BridgeError): void => {
      finish()
      made.abandon()
      reject(error)
    }
    const onAbort = (): void => giveUp(new BridgeError('ERR_VMNET_ABORTED', 'the start was given up'))
    const timer = setTimeout(
      () => giveUp(vmnetTimeout('vmnet_start_interface', limits.start)),
      limits.start * 1000,
    )
    const finish = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    const stop = (): Promise<string | undefined> =>
      new Promise(done => {
        const limit = setTimeout(() => {
          made.abandon()
          done(`vmnet_stop_interface did not answer within ${limits.stop} s`)
        }, limits.stop * 1000)
        stopped = problem => {
          clearTimeout(limit)
          done(problem)
        }
        made.stop()
      })
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort)
  })
}

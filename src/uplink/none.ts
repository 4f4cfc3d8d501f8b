/**
 * No uplink: the VMs are among themselves.
 */

import type { Uplink, UplinkStatus } from './uplink.js'

export class NoUplink implements Uplink {
  readonly #detail: string | undefined

  /** @param detail why there is none, where one was wanted */
  constructor(detail?: string) {
    this.#detail = detail
  }

  status(): UplinkStatus {
    return { kind: 'none', state: 'up', ...(this.#detail === undefined ? {} : { detail: this.#detail }) }
  }

  close(): void {}
}

/**
 * Which talosctl: what it writes into machine configurations, what its command line takes, and how it finds the bridge
 * of its VMs all go by its version.
 */

export interface TalosVersion {
  major: number
  minor: number
  /** As Talos writes it: `v1.13.9`. */
  text: string
}

/** The last on which this was read. A newer one is taken to be like it. */
export const LAST_KNOWN: TalosVersion = { major: 1, minor: 14, text: 'v1.14' }

/** What `talosctl version --client --short` prints, or `v1.13.9`; undefined where there is no version in it. */
export function parseTalosVersion(text: string): TalosVersion | undefined {
  const [found, major, minor] = /\bv?(\d{1,3})\.(\d{1,3})(?:\.\d+)?(?:-[\w.-]+)?/.exec(text) ?? []
  return found === undefined
    ? undefined
    : { major: Number(major), minor: Number(minor), text: found.startsWith('v') ? found : `v${found}` }
}

/** True from v1.`minor` on. */
export function isAtLeast({ major, minor }: TalosVersion, wanted: number): boolean {
  return major > 1 || (major === 1 && minor >= wanted)
}

/**
 * G1 guesses the bridge before any VM runs; G2 starts a paused QEMU and waits for the gateway's address. Undefined for
 * those before v1.11, whose ways were not looked at.
 */
export function generationOf(version: TalosVersion): 'G1' | 'G2' | undefined {
  if (!isAtLeast(version, 11)) return undefined
  return isAtLeast(version, 14) ? 'G2' : 'G1'
}

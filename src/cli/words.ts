/**
 * Times as people say them, in the tables of `status` and `leases`.
 */

/** `1h2m3s`: every unit from the largest one that is not zero. */
export function duration(seconds: number): string {
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  return [hours ? `${hours}h` : '', hours || minutes ? `${minutes}m` : '', `${seconds % 60}s`].join('')
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const

/**
 * An ISO time as seen from `now` (ms since the epoch), with the local clock's: `in 42m (14:05)`, and on another day
 * `3d ago (2026-01-02 14:05)`. A text that is no time stays as it is.
 */
export function when(iso: string, now: number): string {
  const at = Date.parse(iso)
  if (Number.isNaN(at)) return iso
  const seconds = Math.round(Math.abs(at - now) / 1000)
  const [unit, size] = UNITS.find(([, least]) => seconds >= least) ?? UNITS[3]
  const distance = `${Math.floor(seconds / size)}${unit}`
  const time = new Date(at)
  const day = time.toDateString() === new Date(now).toDateString() ? '' : `${localDay(time)} `
  return `${at < now ? `${distance} ago` : `in ${distance}`} (${day}${time.toTimeString().slice(0, 5)})`
}

function localDay(time: Date): string {
  const [month, day] = [time.getMonth() + 1, time.getDate()].map(part => String(part).padStart(2, '0'))
  return `${time.getFullYear()}-${month}-${day}`
}

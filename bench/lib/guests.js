// Real VMs, by the same helper that the end-to-end tests have: an arm64 Linux under QEMU's TCG.

import { BenchError } from './errors.js'
import { addressOf, macOf } from './segments.js'

const PORT = 5001

/** Boots the guest of this number; the first takes what is poured. */
export async function bootGuest(segment, number) {
  const { Guest, guestIsBuilt, streamNetdev } = await helper()
  if (!guestIsBuilt()) throw new BenchError('the guest is not built: npm run test:deps')
  const name = `vm${number}`
  const netdev = streamNetdev(segment.socket)
  const guest = await Guest.boot({ name, mac: macOf(number), netdev })
  segment.onClose(() => guest.close())
  await guest.sh(`ip addr add ${addressOf(number)}/24 dev eth0`)
  if (number === 1) await guest.sh(SINK)
}

// Takes what comes from anybody, one after the other. 1389 is the port in hexadecimal.
const SINK = `
printf '#!/bin/sh\\ncat >/dev/null\\n' >/tmp/sink
chmod +x /tmp/sink
nc -ll -p ${PORT} -e /tmp/sink </dev/null >/dev/null 2>&1 &
until grep -q ':1389 ' /proc/net/tcp*; do sleep 0.1; done`

async function helper() {
  try {
    return await import('../../dist/test/helpers/guest.js')
  } catch (error) {
    throw new BenchError(`the tests are not compiled: npm run build (${error.message})`)
  }
}

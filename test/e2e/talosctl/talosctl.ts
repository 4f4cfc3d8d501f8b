// A stand-in for talosctl on a Mac, written from what siderolabs/talos does (v1.12 to v1.14): it starts QEMU as that
// does, stops it as that does, and expects of the network what that expects. What it leaves out is all that QEMU and
// the network never see: Talos, its API, Kubernetes.
//
//   talosctl.js create VERSION STATE-DIRECTORY NAME CIDR CONTROLPLANES WORKERS
//   talosctl.js destroy STATE-DIRECTORY/NAME
//
// `create` ends with status 0 when every node took its config at the address that was planned for it. The other verbs
// are its own: the processes that stay when it has ended.

import { createSocket } from 'node:dgram'
import type { Version } from './cluster.js'
import { createCluster, destroyCluster } from './create.js'
import { qemuLaunch } from './launch.js'

/** A DHCP server that only writes down what it hears: where the switch answers, that is nothing. */
async function dhcpdLaunch(): Promise<void> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.on('message', (message, peer) => {
    const mac = message.subarray(28, 34).toString('hex')
    process.stderr.write(`DHCPv4: got ${message.length} bytes of ${mac} from ${peer.address}\n`)
  })
  await new Promise<void>(resolve => socket.bind(67, resolve))
  process.stderr.write('Ready to handle requests\n')
}

const [verb, ...args] = process.argv.slice(2)
try {
  if (verb === 'create') {
    const [version, stateDirectory, name, cidr, controlplanes, workers, mtu] = args
    await createCluster({
      version: version as Version,
      stateDirectory,
      name,
      cidr,
      controlplanes: Number(controlplanes),
      workers: Number(workers),
      mtu: Number(mtu),
    })
    process.exit(0)
  }
  if (verb === 'destroy') await destroyCluster(args[0])
  if (verb === 'qemu-launch') await qemuLaunch()
  if (verb === 'dhcpd-launch') await dhcpdLaunch()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}

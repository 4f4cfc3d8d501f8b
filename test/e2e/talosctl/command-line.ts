// QEMU's command lines as talosctl has them on a Mac with an Apple processor, word for word: a node of v1.12, v1.13 and
// v1.14, and the keepalive of v1.14.

import { formatIpv4, parseIpv4 } from '../../../src/wire/ipv4.js'
import { stateFile, type ClusterPlan, type NodePlan } from './cluster.js'

/** `end` is the highest address that vmnet may lease. */
const vmnet = (id: string, { gateway, mask }: ClusterPlan, end: string) =>
  `vmnet-shared,id=${id},start-address=${gateway},end-address=${end},subnet-mask=${mask}`

export function nodeArguments(cluster: ClusterPlan, node: NodePlan): string[] {
  const { version, mtu, nodes } = cluster
  const file = (suffix: string) => stateFile(cluster, node.name + suffix)
  const end = formatIpv4(parseIpv4(nodes.at(-1)!.ip)! + 1)
  const hostMtu = version === 'v1.12' ? '' : `,host_mtu=${mtu}`
  const nic = [
    ['-netdev', vmnet('net0', cluster, end)],
    ['-device', `virtio-net-pci,netdev=net0,mac=${node.mac}${hostMtu}`],
  ]
  const isLate = version === 'v1.14'
  return [
    ['-m', '2048'],
    ['-smp', 'cpus=2'],
    ['-cpu', 'max'],
    ['-nographic'],
    ...(isLate ? [] : nic),
    ['-device', 'virtio-rng-pci'],
    ['-device', 'virtio-balloon,deflate-on-oom=on'],
    ['-monitor', `unix:${file('.monitor')},server,nowait`],
    ['-no-reboot'],
    ['-boot', 'order=cd,reboot-timeout=5000'],
    ['-smbios', `type=1,uuid=${node.uuid}`],
    ['-chardev', `socket,path=${file('.sock')},server=on,wait=off,id=qga0`],
    ['-device', 'virtio-serial'],
    ['-device', 'virtserialport,chardev=qga0,name=org.qemu.guest_agent.0'],
    ['-device', 'i6300esb,id=watchdog0'],
    ['-watchdog-action', 'pause'],
    ...(isLate ? nic : []),
    ['-drive', `id=virtio0,format=raw,if=none,file=${file('-0.disk')},cache=none`],
    ['-device', 'virtio-blk-pci,drive=virtio0,logical_block_size=512,physical_block_size=512'],
    ['-machine', 'virt,gic-version=max,accel=hvf'],
    ['-drive', `file=${file('-flash0.img')},format=raw,if=pflash`],
    ['-drive', `file=${file('-flash1.img')},format=raw,if=pflash`],
    ['-smbios', 'type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0'],
  ].flat()
}

/** A VM that never runs an instruction and holds the network by its port. */
export const keepaliveArguments = (cluster: ClusterPlan): string[] =>
  [
    ['-machine', 'virt'],
    ['-m', '32'],
    ['-nographic'],
    ['-S'],
    ['-netdev', vmnet('n0', cluster, cluster.lastHost)],
    ['-device', 'virtio-net-pci,netdev=n0'],
    ['-monitor', 'none'],
    ['-serial', 'none'],
  ].flat()

// QEMU's command lines as talosctl on a Mac writes them, by its versions and by what a cluster asks for.

export const STATE = '/Users/u/.talos/clusters/talos-default'
export const MAC = '52:54:00:8a:01:7f'
export const NETDEV =
  'vmnet-shared,id=net0,start-address=10.5.0.1,end-address=10.5.0.4,subnet-mask=255.255.255.0'

const words = (text: string): string[] => text.split(' ')

type NodeLine = {
  talosctl: '1.12' | '1.13' | '1.14'
  arch?: 'arm64' | 'amd64'
  /** S */
  state?: string
  netdev?: string
  mac?: string
  hostMtu?: number
  /** Behind the firmware's drives. */
  boot?: readonly string[]
  order?: string
  /** Behind all else. */
  extra?: readonly string[]
}

export function nodeLine({
  talosctl,
  arch = 'arm64',
  state = STATE,
  netdev = NETDEV,
  mac = MAC,
  hostMtu = 1500,
  boot = [],
  order = 'cd',
  extra = [],
}: NodeLine): string[] {
  const name = 'talos-default-controlplane-1'
  const mtu = talosctl === '1.12' ? '' : `,host_mtu=${hostMtu}`
  const nic = ['-netdev', netdev, '-device', `virtio-net-pci,netdev=net0,mac=${mac}${mtu}`]
  const machine = arch === 'arm64' ? 'virt,gic-version=max,accel=hvf' : 'q35,smm=on'
  return [
    ...words(`-m 2048 -smp cpus=2 -cpu max -nographic`),
    ...(talosctl === '1.14' ? [] : nic),
    ...words(`-device virtio-rng-pci -device virtio-balloon,deflate-on-oom=on`),
    ...words(`-monitor unix:${state}/${name}.monitor,server,nowait`),
    ...words(`-no-reboot -boot order=${order},reboot-timeout=5000`),
    ...words(`-smbios type=1,uuid=5c4a27a2-6b1e-4a3c-9b5c-3f7d1c5a8a11`),
    ...words(`-chardev socket,path=${state}/${name}.sock,server=on,wait=off,id=qga0 -device virtio-serial`),
    ...words(`-device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0`),
    ...words(`-device i6300esb,id=watchdog0 -watchdog-action pause`),
    ...(talosctl === '1.14' ? nic : []),
    ...words(`-drive id=virtio0,format=raw,if=none,file=${state}/${name}-0.disk,cache=none`),
    ...words(`-device virtio-blk-pci,drive=virtio0,logical_block_size=512,physical_block_size=512`),
    ...words(`-machine ${machine}`),
    ...words(`-drive file=${state}/${name}-flash0.img,format=raw,if=pflash`),
    ...words(`-drive file=${state}/${name}-flash1.img,format=raw,if=pflash`),
    ...boot,
    ...words(`-smbios type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0`),
    ...extra,
  ]
}

/** The paused VM that holds the network from v1.14 on. */
export const keepaliveLine = (arch: 'arm64' | 'amd64' = 'arm64'): string[] => [
  ...words(`-machine ${arch === 'arm64' ? 'virt' : 'q35'} -m 32 -nographic -S`),
  '-netdev',
  'vmnet-shared,id=n0,start-address=10.5.0.1,end-address=10.5.0.254,subnet-mask=255.255.255.0',
  ...words(`-device virtio-net-pci,netdev=n0 -monitor none -serial none`),
]

export const TPM = [
  ...words(`-chardev socket,id=chrtpm,path=${STATE}/talos-default-controlplane-1-tpm2/swtpm.sock`),
  ...words(`-tpmdev emulator,id=tpm0,chardev=chrtpm -device tpm-tis-device,tpmdev=tpm0`),
]

export const ISO = ['-drive', 'id=cdrom0,file=/Users/u/metal-arm64.iso,media=cdrom']

export const KERNEL = [
  ...words(`-kernel /Users/u/_out/vmlinuz-arm64 -initrd /Users/u/_out/initramfs-arm64.xz`),
  '-append',
  'console=ttyAMA0 talos.platform=metal talos.config=http://10.5.0.1:50123/config.yaml init_on_alloc=1 slab_nomerge',
]

/** A line of ipam.db. */
export const record = (fields: Record<string, unknown> = {}): string =>
  `${JSON.stringify({
    IP: '10.5.0.2',
    Netmask: 24,
    MAC,
    Hostname: 'talos-default-controlplane-1',
    Gateway: '10.5.0.1',
    MTU: 1500,
    Nameservers: ['8.8.8.8', '1.1.1.1'],
    TFTPServer: '',
    IPXEBootFilename: '',
    ...fields,
  })}\n`

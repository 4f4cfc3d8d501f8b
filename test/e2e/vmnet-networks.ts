/**
 * The networks of vmnet that .github/workflows/macos.yml shows with real guests on Macs. On Linux they are shown on the
 * double, each as on another macOS: on 26 a shared network is a network object, before that the DHCP guard does it.
 */
export const VMNET_NETWORKS: readonly { macos: string; uplink: string }[] = [
  { macos: '26', uplink: '--uplink vmnet --mode shared' },
  { macos: '15', uplink: '--uplink vmnet --mode host' },
  {
    macos: '14',
    uplink: '--uplink vmnet --mode shared --no-dhcp --vmnet-dhcp on --dhcp-end 192.168.105.199',
  },
]

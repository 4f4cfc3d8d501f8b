/**
 * `vmbridge daemon`: runs a network in the foreground until a signal ends it.
 */

import { ownConfig } from '../config/paths.js'
import { DEFAULT_GATEWAY, readDaemonSettings } from './daemon-settings.js'
import type { Command, Parsed } from './options.js'
import { VMNET_OPTIONS } from './vmnet-settings.js'

export const command: Command = {
  name: 'daemon',
  summary: 'Runs the switch with its uplink and DHCP server in the foreground, until SIGINT or SIGTERM.',
  options: {
    config: {
      value: 'FILE',
      help: 'the networks and settings of this file; of options only those of the daemon go with it, and win',
      fallback: `${ownConfig(0)} for root, ~/.config/vmbridge.yaml for a user, where it exists and no option is a network's`,
    },
    'no-config': { help: 'read no file' },
    socket: {
      value: 'PATH',
      multiple: true,
      help: 'where VMs plug in',
      fallback: '/run/vmbridge/vmbridge.sock for root',
    },
    dgram: {
      value: 'PATH',
      multiple: true,
      help: 'where VMs that speak datagrams plug in: vfkit, krunkit, QEMU dgram',
    },
    dial: {
      value: 'PATH',
      multiple: true,
      help: 'a socket that a VM listens on (QEMU with server=on): connected to, and again whenever it goes',
    },
    'socket-group': { value: 'GROUP', help: 'the group that may plug in' },
    'socket-mode': { value: 'MODE', help: 'the mode of the sockets', fallback: '0660' },
    uplink: {
      value: 'KIND',
      help: 'none, tap, tap:NAME (Linux), vmnet (macOS) or socket:PATH',
      fallback: 'tap on Linux and vmnet on macOS for root, else none',
    },
    ...VMNET_OPTIONS,
    gateway: { value: 'CIDR', help: "the gateway's address and the subnet", fallback: DEFAULT_GATEWAY },
    'dhcp-range': {
      value: 'A-B',
      help: 'addresses to lease',
      fallback: '.2 to .199 of a /24: the top stays free for VIPs',
    },
    'dhcp-exclude': { value: 'A-B', multiple: true, help: 'addresses never to lease' },
    'no-dhcp': { help: 'no DHCP server, and no guard of DHCP at the uplink' },
    dns: { value: 'IP', multiple: true, help: 'DNS servers that DHCP names', fallback: 'the gateway' },
    domain: { value: 'NAME', help: 'the domain that DHCP names' },
    'dhcp-option': {
      value: 'NAME=VALUE',
      multiple: true,
      separator: ';',
      help: 'by name (docs/dhcp.md): router, dns, ntp, log-server, domain, search, hostname, mtu, broadcast, static-routes, tftp-server, boot-file, next-server, root-path, timezone, vendor, ipv6-only, auto-configure; or NUMBER=HEX; router=none leaves a default out',
    },
    'dhcp-boot': {
      value: '[MATCH:]FILE[,NEXT-SERVER[,SERVER-NAME]]',
      multiple: true,
      separator: ';',
      help: 'the boot file, for all or for MATCH: ipxe, bios, efi-x64, efi-arm64 and so on',
    },
    'lease-time': { value: 'TIME', help: 'how long a lease lasts: 3600, 90m, 12h', fallback: '1h' },
    mtu: { value: 'N', help: 'bytes of an IP packet: of the TAP, and what DHCP tells', fallback: '1500' },
    control: { value: 'PATH', help: 'the control socket', fallback: '/run/vmbridge/control.sock for root' },
    'state-dir': {
      value: 'DIR',
      help: 'where leases are kept',
      fallback: 'below /var/lib/vmbridge for root',
    },
    'leases-file': {
      value: 'PATH|none',
      help: 'write leases there as macOS does, for minikube; entries of others stay',
      fallback: '/var/db/dhcpd_leases on macOS, where our DHCP server serves vmnet for root; else none',
    },
    pidfile: { value: 'PATH', help: 'write the PID there' },
    user: { value: 'NAME', help: 'become this user, for good, when everything that needs root is open' },
    'log-level': {
      value: 'LEVEL',
      help: 'trace, debug, info, warn, error, fatal or silent',
      fallback: 'info',
    },
    'log-file': { value: 'PATH', help: 'write the log there; SIGUSR2 opens it anew', fallback: 'stderr' },
    'log-format': { value: 'FORMAT', help: 'pretty or json', fallback: 'pretty' },
  },
  examples: [
    ['sudo vmbridge daemon', 'VMs and this host on one segment, 192.168.105.0/24'],
    ['vmbridge daemon --socket /tmp/lab.sock --uplink none', 'VMs among themselves, no root needed'],
    [
      'sudo vmbridge daemon --config /etc/vmbridge.yaml',
      'the networks of a file, which `vmbridge config init` writes',
    ],
    [
      'sudo vmbridge daemon --gateway 10.5.0.1/24 --dhcp-range 10.5.0.100-10.5.0.150',
      'another subnet, a small pool',
    ],
    [
      'vmbridge daemon --dhcp-option ntp=192.168.105.1 --dhcp-option search=lab.internal,example.com',
      'clients that ask get these, too',
    ],
    [
      'vmbridge daemon --dhcp-boot efi-arm64:snp.efi,192.168.105.10 --dhcp-boot ipxe:http://192.168.105.10/boot.ipxe',
      'boot files by architecture, and for iPXE',
    ],
    [
      'sudo vmbridge daemon --uplink vmnet --mode bridged --interface en0',
      'VMs on the LAN of a Mac, which leases them their addresses',
    ],
    ['sudo vmbridge daemon --uplink tap --mode shared', 'on Linux, VMs with a way out and DNS, by NAT'],
    [
      'sudo vmbridge daemon --uplink tap --mode bridged --interface br0',
      'on Linux, VMs on the LAN of a bridge that the host has',
    ],
    [
      'vmbridge daemon --uplink socket:/run/gvproxy.sock',
      "VMs on another server's segment, its DHCP included",
    ],
  ],
}

export async function run(parsed: Parsed): Promise<number | undefined> {
  const { passedOver, readConfig } = await import('./daemon-config.js')
  const settings = readConfig(parsed, command.options) ?? readDaemonSettings(parsed)
  const warning = passedOver(parsed, command.options)
  const { runDaemon } = await import('../daemon/daemon.js')
  return runDaemon(settings, warning === undefined ? [] : [warning])
}

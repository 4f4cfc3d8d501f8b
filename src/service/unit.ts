/**
 * The systemd unit: what the daemon may do, which is making a TAP and nothing else; in shared mode also to be a router and
 * to answer DNS.
 */

import { lastValue, LINUX_GROUP, type ServiceDefinition } from './definition.js'

/** systemd.exec(5) says what each line of the lower half forbids. */
export function renderUnit({ program, args }: ServiceDefinition): string {
  const group = lastValue(args, 'socket-group') ?? LINUX_GROUP
  const hasFile = lastValue(args, 'config') !== undefined
  // The networks of a file may be of any mode, and change.
  const isRouter = hasFile || lastValue(args, 'mode') === 'shared'
  const { stopping, capabilities, tunables, addresses } = isRouter ? SHARED : TAP_ONLY
  return `# Written by \`vmbridge service install\`; run that again to change it, or use \`systemctl edit vmbridge\`.

[Unit]
Description=vmbridge, an Ethernet switch for virtual machines
After=network.target

[Service]
# The daemon does not tell systemd when it is ready; \`vmbridge service start\` asks its control socket instead.
Type=exec
ExecStart=${[program, ...args].map(quote).join(' ')}
${hasFile ? '# To read the file again.\nExecReload=/bin/kill -HUP $MAINPID\n' : ''}Restart=on-failure
RestartSec=1
# A wrong option stays wrong.
RestartPreventExitStatus=2
TimeoutStopSec=10${stopping}

# A user of its own, that exists while the daemon runs. It is in the sockets' group, so that giving them to the group
# takes no capability.
DynamicUser=yes
User=vmbridge
SupplementaryGroups=${quote(group)}
UMask=0077
RuntimeDirectory=vmbridge
RuntimeDirectoryMode=0755
StateDirectory=vmbridge
StateDirectoryMode=0700

${capabilities}
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
${tunables}
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
${addresses}
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Handing a socket to its group.
SystemCallFilter=@chown
SystemCallErrorNumber=EPERM
# Left out, and why: PrivateDevices has no /dev/net/tun; PrivateUsers and PrivateNetwork would keep CAP_NET_ADMIN away
# from the host's network; MemoryDenyWriteExecute ends V8, which compiles; ProtectProc hides the programs that \`vmbridge
# status\` names.

[Install]
WantedBy=multi-user.target
`
}

/** What the unit says of a daemon that makes a TAP. */
const TAP_ONLY = {
  stopping: '',
  capabilities: `# To make the TAP and give it its address.
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN`,
  tunables: 'ProtectKernelTunables=yes',
  addresses: `# Sockets of VMs and control; the ioctls that set the TAP up; the list of the host's addresses.
RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK
# The daemon itself speaks to nobody by IP: frames pass through the TAP, which is no socket.
IPAddressDeny=any`,
}

/** And of one that is the gateway of a shared network besides. */
const SHARED = {
  stopping: `
# The nft that cleans up is not to be told to end as well.
KillMode=mixed`,
  capabilities: `# To make the TAP and give it its address, to masquerade (by nft), and to answer DNS at port 53.
AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE`,
  tunables: `# Not ProtectKernelTunables: a shared network takes net.ipv4.ip_forward. The user of the daemon can write those of the
# network alone, by CAP_NET_ADMIN.`,
  addresses: `# Sockets of VMs and control; the ioctls that set the TAP up; nft; the resolvers of this host, wherever they are, so
# that no address is denied.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK`,
}

/** A word of a command line (systemd.service(5)): specifiers and variables stay as they are. */
function quote(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
  if (/^[\w@%+=:,./$-]+$/.test(plain)) return plain
  return `"${plain.replace(/["\\]/g, '\\$&')}"`
}

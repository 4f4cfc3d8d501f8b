/**
 * The vmbridge.yaml that `vmbridge config init` writes.
 */

export const EXAMPLE = `# vmbridge.yaml: what a daemon runs.
#
#   vmbridge config validate    what is wrong with this file, with line and column
#   vmbridge config show        what it means, with all that is left out
#   vmbridge daemon --help      what each key means: the keys are its options
#
# After a change: send the daemon SIGHUP. Networks that did not change do not notice.

# Of the daemon itself:
#socket-group: kvm            # the group that may plug VMs in
#socket-mode: "0660"
#control: /run/vmbridge/control.sock
#state-dir: /var/lib/vmbridge # each network has a folder in it
#log-level: info              # trace, debug, info, warn, error, fatal or silent

# The networks, by name. No two have addresses, sockets or folders in common.
networks:
  default:
    gateway: 192.168.105.1/24
    #uplink: auto             # what joins the host: vmnet on macOS, a TAP on Linux; or none, socket:/PATH
    #mode: shared             # shared, host or bridged
    #socket: /run/vmbridge/vmbridge.sock         # one path or a list of them
    #dhcp: pool               # or answer (what is reserved, nobody else), passthrough (no server of ours)
    #dhcp-range: 192.168.105.2-192.168.105.199   # the rest stays free for VIPs
    #dns: [192.168.105.1, 1.1.1.1]
    #reservations:            # these stand; others come and go by \`vmbridge reservations\`
    #  - { ip: 192.168.105.7, mac: "52:54:00:12:34:56", hostname: web, options: [mtu=1450] }
    #  - { ip: 192.168.105.8, name: talos-1 }

  #lab:                       # its socket is lab.sock beside the other one
  #  gateway: 10.7.0.1/24
  #  uplink: none             # VMs among themselves
`

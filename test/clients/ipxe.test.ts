// iPXE, from the ROM of QEMU's NIC: it leases an address, is told a boot file of its own because it says that it is
// iPXE, fetches it by TFTP from the next server, and runs it. PXE clients that are not iPXE get theirs by their
// architecture: dhclient says what their firmware would say.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from '../cli/command.js'
import { Child } from '../helpers/child.js'
import { streamNetdev } from '../helpers/guest.js'
import { withPrivateResolv } from '../helpers/netns.js'
import { requires } from '../helpers/requires.js'
import { capture, CAPTURE_NEEDS } from './capture.js'
import { HOST_NEEDS, MAC, OTHER_MAC, plug, recorder, startAlone } from './host.js'

t.setTimeout(90_000)

const ROM = '/usr/lib/ipxe/qemu/pxe-virtio.rom'
const NEEDS = [...HOST_NEEDS, ...CAPTURE_NEEDS, 'qemu-system-x86_64', 'dnsmasq', 'dhclient', 'unshare']
const NEXT_SERVER = '192.168.105.250'
const BOOT = [
  'plain.img',
  `ipxe:boot.ipxe,${NEXT_SERVER}`,
  `bios:undionly.kpxe,${NEXT_SERVER}`,
  `efi-x64:shim.efi,${NEXT_SERVER}`,
].flatMap(rule => ['--dhcp-boot', rule])

const CONSOLE = ['-nodefaults', '-no-user-config', '-nographic', '-serial', 'stdio', '-no-reboot']
const MACHINE = ['-M', 'pc', '-accel', 'tcg', '-m', '64', '-boot', 'n']

t.test('iPXE boots the file that is meant for it', { skip: requires(NEEDS) }, async t => {
  t.ok(existsSync(ROM), 'the ROM is installed')
  const daemon = await startAlone(t, ...BOOT)
  const host = await plug(t, daemon, OTHER_MAC)
  await host.sh('ip', 'addr', 'add', `${NEXT_SERVER}/24`, 'dev', 'eth0')
  const folder = scratch(t)
  // The variables are iPXE's: what it was told.
  const script = '#!ipxe\necho second stage on ${net0/ip} from ${net0/next-server}\npoweroff\n'
  writeFileSync(join(folder, 'boot.ipxe'), script)
  const serve = ['--port=0', '--enable-tftp', `--tftp-root=${folder}`, '--user=root', '--pid-file=']
  const tftp = host.spawn([
    'dnsmasq',
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--log-facility=-',
    ...serve,
  ])
  t.teardown(() => tftp.close())
  await tftp.waitForLine(/TFTP root is/)

  const device = ['-device', `virtio-net-pci,netdev=n,mac=${MAC}`]
  const nic = ['-netdev', streamNetdev(daemon.socket), ...device]
  const vm = Child.launch(['qemu-system-x86_64', ...MACHINE, ...CONSOLE, ...nic])
  t.teardown(() => vm.close())
  const lease = await daemon.waitForLog(({ event, mac }) => event === 'dhcp.ack' && mac === MAC, 40_000)
  await tftp.waitForLine(/sent .*\/boot\.ipxe to /, { timeoutMs: 20_000 })
  await vm.waitForLine(/second stage on \d/)
  t.match(vm.text(), `second stage on ${lease['ip']} from ${NEXT_SERVER}`, 'and runs it')
})

/** What the firmware says, in dhclient's words: option 60 and option 93. */
const firmware = (architecture: number) => `
timeout 10; initial-interval 1; select-timeout 0;
option architecture code 93 = unsigned integer 16;
send vendor-class-identifier "PXEClient:Arch:0000${architecture}:UNDI:003000";
send architecture ${architecture};
request subnet-mask, tftp-server-name, bootfile-name;
`

for (const [name, architecture, file] of [
  ['a PC with a BIOS', 0, 'undionly.kpxe'],
  ['UEFI on x64', 7, 'shim.efi'],
  ['UEFI on arm64, which no rule names,', 11, 'plain.img'],
] as const) {
  t.test(`${name} is told ${file}`, { skip: requires(NEEDS) }, async t => {
    const daemon = await startAlone(t, ...BOOT)
    const ns = await plug(t, daemon, MAC)
    const wire = await capture(t, ns)
    const folder = scratch(t)
    const { script, told } = recorder(t)
    const resolv = withPrivateResolv()
    t.teardown(resolv.close)
    writeFileSync(join(folder, 'conf'), firmware(architecture))
    const files = ['-cf', join(folder, 'conf'), '-lf', join(folder, 'leases'), '-pf', join(folder, 'pid')]
    const client = ns.spawn([...resolv.prefix, 'dhclient', '-4', '-d', ...files, '-sf', script, 'eth0'])
    t.teardown(() => client.close())
    await client.waitForLine(/^bound to /)
    const lease = told()
    t.equal(lease['new_filename'] ?? lease['new_bootfile_name'], file)
    const nextServer = file === 'plain.img' ? '192.168.105.1' : NEXT_SERVER
    t.equal(lease['new_next_server'] ?? nextServer, nextServer)
    await wire.check(t, 2)
  })
}

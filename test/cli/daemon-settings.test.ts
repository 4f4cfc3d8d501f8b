// The DHCP settings of `vmbridge daemon` as its flags and the environment give them: options by name, boot files, and
// what contradicts itself.

import { resolve } from 'node:path'
import t from 'tap'
import { readDaemonSettings } from '../../src/cli/daemon-settings.js'
import { command } from '../../src/cli/daemon.js'
import { parseCommand } from '../../src/cli/options.js'
import type { DhcpSettings } from '../../src/daemon/settings.js'
import { UsageError } from '../../src/errors.js'
import { toHex } from '../../src/wire/bytes.js'
import { parseIpv4 } from '../../src/wire/ipv4.js'

const read = (args: string[], env: NodeJS.ProcessEnv = {}): DhcpSettings | undefined =>
  readDaemonSettings(parseCommand(command, ['--uplink', 'none', ...args], env)!).networks[0]!.dhcp

const refusal = (args: string[]): UsageError => {
  try {
    read(args)
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
  throw new Error(`${args.join(' ')} was taken`)
}

t.test('options and boot files come from flags, each flag one', async t => {
  const dhcp = read([
    '--dhcp-option=ntp=192.168.105.1,192.168.105.2',
    '--dhcp-option=router=none',
    '--dhcp-option=next-server=192.168.105.9',
    '--dhcp-boot=ipxe:http://192.168.105.1/a;b',
    '--dhcp-boot=a.efi,192.168.105.8',
  ])!
  t.same(
    [...dhcp.options].map(([code, bytes]) => [code, toHex(bytes)]),
    [
      [42, 'c0a86901c0a86902'],
      [3, ''],
    ],
  )
  t.equal(dhcp.nextServer, parseIpv4('192.168.105.9'))
  t.same(dhcp.boot, [
    { match: 'ipxe', file: 'http://192.168.105.1/a;b' },
    { file: 'a.efi', nextServer: parseIpv4('192.168.105.8') },
  ])
})

t.test('in the environment a semicolon stands between them, since values hold commas', async t => {
  const dhcp = read([], {
    VMBRIDGE_DHCP_OPTION: 'ntp=10.0.0.1,10.0.0.2;224=dead',
    VMBRIDGE_DHCP_BOOT: 'bios:a.0,10.0.0.1;b.0',
  })!
  t.same([...dhcp.options.keys()], [42, 224])
  t.same(
    dhcp.boot.map(({ file }) => file),
    ['a.0', 'b.0'],
  )
})

t.test('without any there are none', async t => {
  t.match(read([]), { options: new Map(), boot: [], nextServer: undefined })
})

t.test('one thing said twice, or of a server that is off, is refused', async t => {
  for (const [args, says] of [
    [['--dns', '1.1.1.1', '--dhcp-option', 'dns=9.9.9.9'], /--dns and --dhcp-option dns= say the same/],
    [['--dns', '1.1.1.1', '--dhcp-option', '6=01010101'], /--dns and --dhcp-option dns=/],
    [['--domain', 'a.b', '--dhcp-option', 'domain=c.d'], /--domain and --dhcp-option domain=/],
    [['--no-dhcp', '--dhcp-option', 'ntp=10.0.0.1'], /--no-dhcp and --dhcp-option contradict/],
    [['--no-dhcp', '--dhcp-boot', 'a.efi'], /--no-dhcp and --dhcp-boot contradict/],
    [['--dhcp-option', 'npt=10.0.0.1'], /there is no option "npt"/],
    [['--dhcp-boot', 'efi-x86:a'], /"efi-x86" is not ipxe/],
  ] as const) {
    t.match(refusal([...args]).message, says)
  }
})

t.test("behind another server's socket, an option asks for ours", async t => {
  const behind = ['--uplink', 'socket:/other']
  t.equal(read(behind), undefined)
  t.ok(read([...behind, '--dhcp-option', 'ntp=10.0.0.1']))
  t.ok(read([...behind, '--dhcp-boot', 'a.efi']))
})

t.test('the leases file: by flag or environment, and none', async t => {
  t.equal(read([])!.leasesFile, undefined)
  t.equal(read(['--leases-file', '/tmp/leases'])!.leasesFile, '/tmp/leases')
  t.equal(read(['--leases-file', 'leases'])!.leasesFile, resolve('leases'))
  t.equal(read([], { VMBRIDGE_LEASES_FILE: '/tmp/leases' })!.leasesFile, '/tmp/leases')
  t.equal(read(['--leases-file', 'none'], { VMBRIDGE_LEASES_FILE: '/tmp/leases' })!.leasesFile, undefined)
  t.equal(read(['--leases-file', './none'])!.leasesFile, resolve('none'), 'a file may have any name')
  t.match(refusal(['--no-dhcp', '--leases-file', '/tmp/leases']), {
    message: '--leases-file /tmp/leases: there is no DHCP server of ours on this network',
    hint: /leave it out/,
  })
  t.equal(read(['--no-dhcp', '--leases-file', 'none']), undefined)
})

t.test("on a Mac, root's daemon keeps /var/db/dhcpd_leases where its server serves vmnet", async t => {
  const geteuid = process.geteuid!
  t.teardown(() => void (process.geteuid = geteuid))
  const fileOf = (args: string[], uid = 0, platform: NodeJS.Platform = 'darwin'): string | undefined => {
    process.geteuid = () => uid
    return readDaemonSettings(parseCommand(command, args, {})!, platform).networks[0]!.dhcp?.leasesFile
  }
  const path = '/var/db/dhcpd_leases'
  t.equal(fileOf([]), path)
  t.equal(fileOf(['--uplink', 'vmnet']), path)
  t.equal(fileOf(['--uplink', 'vmnet', '--mode', 'host']), path)
  t.equal(fileOf(['--uplink', 'vmnet', '--leases-file', '/tmp/leases']), '/tmp/leases')
  t.equal(fileOf(['--uplink', 'vmnet', '--leases-file', 'none']), undefined)
  t.equal(fileOf(['--uplink', 'vmnet', '--no-dhcp']), undefined, "Apple's server keeps it itself")
  t.equal(
    fileOf(['--uplink', 'vmnet', '--mode', 'bridged', '--interface', 'en0']),
    undefined,
    "the LAN's serves",
  )
  const onLan = ['--dhcp-on-lan', '--gateway', '10.0.0.1/24', '--dhcp-range', '10.0.0.9-10.0.0.10']
  t.equal(fileOf(['--uplink', 'vmnet', '--mode', 'bridged', '--interface', 'en0', ...onLan]), path)
  t.equal(fileOf(['--uplink', 'none']), undefined, 'there is nothing that minikube could reach')
  t.equal(fileOf([], 501), undefined, 'only root may write there')
  t.equal(fileOf([], 0, 'linux'), undefined)
})

// Where socket_vmnet on Linux, whose DHCP server is ours, is told to keep a leases file: by the environment alone, since its
// command line has no such option.

import t from 'tap'
import { resolve } from 'node:path'
import { readSocketVmnet } from '../../src/compat/socket-vmnet-options.js'
import { settingsOf } from '../../src/compat/socket-vmnet-daemon.js'

function fileWith(value: string | undefined, hasVmnet = false): string | undefined {
  const command = readSocketVmnet(['--vmnet-gateway=192.168.105.1', '/s'])
  if (command.do !== 'run') throw new Error('it is not to be run')
  delete process.env['VMBRIDGE_LEASES_FILE']
  if (value !== undefined) process.env['VMBRIDGE_LEASES_FILE'] = value
  return settingsOf(command.options, 20, hasVmnet).networks[0]!.dhcp?.leasesFile
}

t.test(
  'VMBRIDGE_LEASES_FILE names the leases file of socket_vmnet on Linux; there is none without',
  async t => {
    t.teardown(() => delete process.env['VMBRIDGE_LEASES_FILE'])
    t.equal(fileWith(undefined), undefined)
    t.equal(fileWith(''), undefined)
    t.equal(fileWith('none'), undefined)
    t.equal(fileWith('/tmp/leases'), '/tmp/leases')
    t.equal(fileWith('leases'), resolve('leases'))
    t.equal(fileWith('/tmp/leases', true), undefined, "on a Mac it is Apple's server that writes it")
  },
)

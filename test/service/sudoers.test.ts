// The sudoers fragment, by sudo itself: an admin may start, stop and restart exactly these services without a password,
// and nothing that is a word longer or shorter. launchctl and the tree's program are stand-ins that say how they were
// called, as root or not, and with which PATH.

import { join } from 'node:path'
import t from 'tap'
import { execute } from '../helpers/child.js'
import { requires } from '../helpers/requires.js'
import { ROOT } from '../helpers/root.js'
import { Container, CONTAINER_NEEDS } from './container.js'

t.setTimeout(600_000)

const FRAGMENT = 'launchd/vmbridge.sudoers'
const skip = requires([...CONTAINER_NEEDS, 'sudo', 'visudo', 'runuser', 'useradd'])

const VMBRIDGE = '/opt/vmbridge/bin/vmbridge'
const LAUNCHCTL = '/bin/launchctl'

const ALLOWED = [
  `${VMBRIDGE} service start`,
  `${VMBRIDGE} service stop`,
  `${LAUNCHCTL} kickstart system/io.github.vmbridge`,
  `${LAUNCHCTL} kickstart -k system/io.github.vmbridge`,
  `${VMBRIDGE} service start --bridged en0`,
  `${VMBRIDGE} service stop --bridged en0`,
  `${LAUNCHCTL} kickstart system/io.github.vmbridge.bridged.en0`,
  `${LAUNCHCTL} kickstart -k system/io.github.vmbridge.bridged.en0`,
]

const REFUSED = [
  VMBRIDGE,
  `${VMBRIDGE} service`,
  `${VMBRIDGE} service install`,
  `${VMBRIDGE} service uninstall`,
  `${VMBRIDGE} service start --prefix /tmp`,
  `${VMBRIDGE} service start -- --gateway 10.0.0.1/24`,
  `${VMBRIDGE} service stop --bridged en1`,
  `${VMBRIDGE} daemon`,
  `${VMBRIDGE} run -- sh`,
  LAUNCHCTL,
  `${LAUNCHCTL} kickstart -k system/com.apple.sshd`,
  `${LAUNCHCTL} kickstart -k system/io.github.vmbridge system/com.apple.sshd`,
  `${LAUNCHCTL} kickstart -p system/io.github.vmbridge`,
  `${LAUNCHCTL} bootstrap system /tmp/io.github.vmbridge.plist`,
  `${LAUNCHCTL} bootout system/io.github.vmbridge`,
  '/bin/sh -c id',
]

const AS = ['runuser', '--user']
const THEIRS = ['env', 'PATH=/tmp/evil:/usr/sbin:/usr/bin:/sbin:/bin', 'EVIL=evil']

const STAND_IN = '#!/bin/sh\necho "$(id -u) $PATH $EVIL: $0 $*"\n'

t.test('the fragment is valid', { skip }, async t => {
  t.match(await execute(['visudo', '-cf', join(ROOT, FRAGMENT)]), { status: 0 })
})

t.test('an admin may do these, and no more', { skip }, async t => {
  const lab = await Container.start(t)
  for (const program of [VMBRIDGE, LAUNCHCTL]) {
    const put = ['sh', '-c', 'mkdir -p "$(dirname "$0")" && cat >"$0" && chmod 755 "$0"', program]
    t.equal((await lab.exec(put, { input: STAND_IN })).status, 0)
  }
  await lab.sh('groupadd', '--system', 'admin')
  await lab.sh('useradd', '--groups', 'admin', 'anna')
  await lab.sh('useradd', 'bert')
  await lab.sh('install', '-m', '0440', `/srv/vmbridge/${FRAGMENT}`, '/etc/sudoers.d/vmbridge')
  // As on a Mac, where sudo keeps the caller's PATH.
  await lab.sh(
    'sh',
    '-c',
    'sed -i /secure_path/d /etc/sudoers && echo "Defaults lecture=never" >>/etc/sudoers',
  )
  const sudo = (user: string, command: string, ...flags: string[]) =>
    lab.exec([...AS, user, '--', ...THEIRS, 'sudo', '--non-interactive', ...flags, ...command.split(' ')])
  for (const command of ALLOWED) {
    const { status, stdout, stderr } = await sudo('anna', command)
    t.equal(status, 0, `${command}: ${stderr}`)
    t.equal(stdout, `0 /usr/bin:/bin:/usr/sbin:/sbin : ${command}\n`)
    t.match(await sudo('bert', command), { status: 1, stdout: '' }, `not for who is no admin: ${command}`)
  }
  for (const command of REFUSED) t.match(await sudo('anna', command), { status: 1, stdout: '' }, command)
  t.match(await sudo('anna', ALLOWED[0], 'EVIL=evil'), { status: 1, stdout: '' }, 'no variable is handed on')
  t.match(await sudo('anna', ALLOWED[0], '--preserve-env'), { status: 1, stdout: '' }, 'nor all of them')
})

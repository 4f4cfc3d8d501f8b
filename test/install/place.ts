// Where tests install: a folder that root alone can change up to /, as an install wants it (so not below /tmp), and a
// package that is small, with a stand-in for the interpreter, for what needs many installs.

import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Machine } from '../../src/install/machine.js'
import type { Scope } from '../helpers/daemon.js'
import { ROOT } from '../helpers/root.js'

const PREFIX = 'vbt-install-'
const MADE = /^vbt-install-(\d+)-/

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** A folder is named after the process that made it, so that one left by a test that was killed is known, and goes. */
function removeStale(): void {
  for (const name of readdirSync('/opt')) {
    const [, maker] = MADE.exec(name) ?? []
    if (maker !== undefined && !isAlive(Number(maker)))
      rmSync(join('/opt', name), { recursive: true, force: true })
  }
}

/** A fresh folder of root's that anybody may enter; gone with the test. */
export function rootsFolder(t: Scope): string {
  mkdirSync('/opt', { recursive: true })
  removeStale()
  const folder = mkdtempSync(`/opt/${PREFIX}${process.pid}-`)
  chmodSync(folder, 0o755)
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  t.teardown(() => {
    process.off('exit', remove)
    remove()
  })
  return folder
}

/** Knows what the launcher gives Node, and answers --version with the first line of the script. */
const STAND_IN = `#!/bin/sh
case "$*" in *--version) read -r version <"$2"; echo "$version" ;; esac
`

export interface SmallPackage {
  root: string
  node: string
}

/** A package with everything that an install copies, a file or two of each kind. */
export function smallPackage(folder: string, version: string): SmallPackage {
  const root = join(folder, `package-${version}`)
  const write = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text, { mode })
  }
  write('package.json', JSON.stringify({ name: 'vmbridge', version, dependencies: { one: '1' } }))
  write('LICENSE', 'a license\n')
  write('dist/src/cli/bin.js', `${version}\n`)
  write('dist/src/cli/bin.js.map', '{}')
  write('dist/src/daemon/daemon.js', '')
  write('dist/src/talos/bin.js', '')
  write('dist/test/a.test.js', '')
  write('launchd/README.md', 'about it\n')
  write('launchd/reload', '#!/bin/sh\n', 0o755)
  write('build/Release/vmbridge.node', `addon ${version}\n`)
  write('node_modules/one/package.json', JSON.stringify({ name: 'one', dependencies: {} }))
  write('node_modules/one/index.js', `// ${version}\n`)
  write('node_modules/development/package.json', '{}')
  write('node', STAND_IN, 0o755)
  for (const name of ['launcher', 'socket_vmnet_client']) {
    copyFileSync(join(ROOT, 'build/Release', name), join(root, 'build/Release', name))
  }
  return { root, node: join(root, 'node') }
}

/** A machine whose programs all succeed and say what they should. */
export const agreeable = (version: string): Machine => ({
  platform: 'linux',
  release: '6.1.0',
  arch: 'x64',
  run: argv => ({ status: 0, stdout: argv.at(-1) === '--version' ? `${version}\n` : '', stderr: '' }),
})

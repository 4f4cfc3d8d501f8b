/**
 * What the system's own programs are asked: which libraries a program is linked to, and on macOS its signature. The
 * runner of programs is a parameter, so that a test can be a Mac; only a Mac can show that the signature works.
 */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { BridgeError } from '../errors.js'
import { EXECUTABLE, PLAIN, setRights, writeFile } from './files.js'
import { ADDON, NODE } from './source.js'

export interface Ran {
  /** The exit status; null when it could not be started, took too long, or died by a signal. */
  status: number | null
  stdout: string
  stderr: string
}

/** Runs a program to its end under an empty environment, in /. */
export type Runner = (argv: readonly string[]) => Ran

export interface Machine {
  platform: NodeJS.Platform
  /** As `uname -r` has it: Darwin 25 is macOS 26, 24 is macOS 15. */
  release: string
  arch: string
  run: Runner
}

const PATIENCE_MS = 120_000

export const runProgram: Runner = ([file, ...args]) => {
  const ran = spawnSync(file, args, { env: {}, cwd: '/', encoding: 'utf8', timeout: PATIENCE_MS })
  const reason = ran.error === undefined ? '' : `${ran.error.message}\n`
  return { status: ran.status, stdout: ran.stdout ?? '', stderr: `${reason}${ran.stderr ?? ''}` }
}

/** What only the system and its package manager, as root, can change. */
const SYSTEM_FOLDERS: Record<string, RegExp> = {
  linux: /^\/(usr\/)?lib(32|64|x32)?\//,
  darwin: /^(\/usr\/lib\/|\/System\/Library\/)/,
}

/**
 * A program is copied without its libraries, so those must be the system's own: a copy would not find others, or as
 * root would load files that a user can replace.
 * @throws BridgeError ERR_INSTALL_NODE naming the libraries and what to do
 */
export function checkLibraries({ platform, run }: Machine, file: string): void {
  const argv = platform === 'darwin' ? ['/usr/bin/otool', '-L', file] : ['/usr/bin/ldd', file]
  const { status, stdout, stderr } = run(argv)
  // No libraries at all is fine. glibc's ldd says so with status 1, musl's in other words.
  if (status !== 0 && /not a (valid )?dynamic (executable|program)/i.test(stdout + stderr)) return
  if (status !== 0) {
    throw new BridgeError('ERR_INSTALL_NODE', `${argv.join(' ')} failed: ${lastLine(stderr)}`, {
      hint:
        platform === 'darwin'
          ? 'xcode-select --install, then the same again'
          : 'install ldd, which is part of libc',
    })
  }
  const others = librariesIn(stdout).filter(library => !SYSTEM_FOLDERS[platform]?.test(library))
  if (others.length === 0) return
  throw new BridgeError(
    'ERR_INSTALL_NODE',
    `${file} cannot be copied: it is linked to libraries outside of the system's folders, ${others.join(', ')}`,
    {
      hint: 'use the official build of Node (https://nodejs.org/en/download), whose one file is whole: NODE bin/vmbridge install',
    },
  )
}

/** The libraries in the output of `ldd` or `otool -L`: paths, or names for those that are not found. */
function librariesIn(output: string): string[] {
  return output.split('\n').flatMap(line => {
    const arrow = /^\s+(.+?) => (.*?)(?: \(0x\w+\))?$/.exec(line)
    if (arrow !== null) return arrow[2].startsWith('/') ? arrow[2] : arrow[1]
    // The program itself, which otool names first, is not indented; what the kernel lends has no path.
    const plain = /^\s+(.+) \((0x|compatibility )/.exec(line)
    return plain === null || /^linux-(vdso|gate)/.test(plain[1]) ? [] : plain[1]
  })
}

/** From macOS 26 on vmnet takes this in place of root, and an ad-hoc signature can give it. */
const ENTITLEMENTS = 'entitlements.plist'
const VIRTUALIZATION = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>com.apple.security.virtualization</key>
  <true/>
</dict>
</plist>
`
const DARWIN_OF_MACOS_26 = 25

/**
 * Signs the interpreter of a tree where that gives it the right to vmnet, and has every signature checked; nothing on
 * other systems. Whether the signature gives the right only a Mac can show.
 * @returns whether it was signed
 * @throws BridgeError ERR_INSTALL_SIGNATURE
 */
export function signTree(
  { platform, release, arch, run }: Machine,
  tree: string,
  programs: readonly string[],
): boolean {
  if (platform !== 'darwin') return false
  const isSigned = Number.parseInt(release, 10) >= DARWIN_OF_MACOS_26
  if (isSigned) {
    const entitlements = join(tree, ENTITLEMENTS)
    writeFile(entitlements, PLAIN, [Buffer.from(VIRTUALIZATION)])
    // This drops the hardened runtime of the official build, and with it the need of entitlements for the JIT
    // compiler and for addons that others signed.
    const sign = [
      '/usr/bin/codesign',
      '--force',
      '--sign',
      '-',
      '--entitlements',
      entitlements,
      join(tree, NODE),
    ]
    expectSuccess(sign, run(sign))
    // It may have written another file under the same name.
    setRights(join(tree, NODE), EXECUTABLE)
  }
  for (const program of [NODE, ADDON, ...programs]) {
    const verify = ['/usr/bin/codesign', '--verify', join(tree, program)]
    const ran = run(verify)
    // On Intel what the compiler made has no signature and needs none; on Apple's chips the linker signs.
    if (arch !== 'arm64' && ran.status !== 0 && /not signed at all/.test(ran.stderr)) continue
    expectSuccess(verify, ran)
  }
  return isSigned
}

function expectSuccess(argv: readonly string[], { status, stderr }: Ran): void {
  if (status === 0) return
  throw new BridgeError('ERR_INSTALL_SIGNATURE', `${argv.join(' ')} failed: ${lastLine(stderr)}`, {
    hint: 'xcode-select --install, and a node whose own signature is whole: codesign --verify "$(which node)"',
  })
}

/** What a program said last, or that it said nothing. */
export const lastLine = (text: string): string => text.trim().split('\n').at(-1) || 'it gave no reason'

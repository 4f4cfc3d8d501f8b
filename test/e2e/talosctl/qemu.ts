// The real QEMU behind talosctl's command lines, where there is no Mac: a script by QEMU's name that turns hvf into tcg,
// boots the tests' guest with node-init in place of firmware and disk image, and becomes QEMU (same PID, same
// descriptors). What is no node passes through, so a program that asks this QEMU what it can is told the truth.

import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { guestImage, KERNEL_ARGUMENTS } from '../../helpers/guest.js'
import { ROOT } from '../../helpers/root.js'

export const QEMU_NAME = 'qemu-system-aarch64'

// A word that is taken off the front comes back at the end, rewritten: after a round of all the rest is as it was.
const script = (qemu: string, kernel: string, initrd: string) => `#!/bin/sh
node=no
for word; do
  case $word in *,accel=hvf*) node=yes ;; esac
done
left=$#
before=
while [ $left -gt 0 ]; do
  word=$1
  shift
  left=$((left - 1))
  case $node:$before:$word in
    # Firmware would start before the kernel, and not every file system has O_DIRECT.
    yes:-drive:*,if=pflash) word=\${word%pflash}none ;;
    yes:-drive:*,cache=none) word=\${word%,cache=none} ;;
    yes:-machine:*) word=\${word%,accel=hvf},accel=tcg ;;
    yes:-cpu:max) word=cortex-a72 ;;
    yes:-m:*) word=96 ;;
    yes:-smp:*) word=cpus=1 ;;
    *:-device:virtio-net-pci,*) word=$word,romfile= ;;
  esac
  set -- "$@" "$word"
  before=$word
done
[ $node = no ] || set -- "$@" -kernel '${kernel}' -initrd '${initrd}' -append '${KERNEL_ARGUMENTS} rdinit=/node-init'
exec '${qemu}' "$@"
`

/**
 * Puts that script into `directory`/bin, which is a folder for PATH. `program` is the QEMU that it becomes; called
 * again, the next VM that starts is of another.
 * @returns the folder
 */
export function writeQemu(directory: string, program: string): string {
  const { kernel, initrd } = guestImage()
  const tree = join(directory, 'tree')
  const [bin, image] = [join(directory, 'bin'), join(directory, 'initrd')]
  for (const folder of [tree, bin]) mkdirSync(folder, { recursive: true })
  copyFileSync(join(ROOT, 'test/e2e/talosctl/node-init'), join(tree, 'node-init'))
  chmodSync(join(tree, 'node-init'), 0o755)
  const options = { cwd: tree, input: 'node-init\n' }
  const own = execFileSync('cpio', ['--quiet', '-o', '-H', 'newc', '-R', '0:0'], options)
  writeFileSync(image, Buffer.concat([readFileSync(initrd), gzipSync(own)]))
  writeFileSync(join(bin, QEMU_NAME), script(program, kernel, image), { mode: 0o755 })
  return bin
}

// Compiles the C programs into bench/build/, those whose sources are newer than they are.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BenchError } from './errors.js'

const native = fileURLToPath(new URL('../native/', import.meta.url))
const build = fileURLToPath(new URL('../build/', import.meta.url))

const flags = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra']
const player = ['loadgen.c', 'frame.c', 'station.c', 'server.c', 'throughput.c', 'latency.c', 'link.c']

const programs = [
  { name: 'copy', sources: ['copy.c'], libraries: [] },
  { name: 'loadgen', sources: [...player, 'link_stream.c'], libraries: ['-pthread'] },
  {
    name: 'loadgen-dgram',
    sources: [...player, 'link_dgram.c', 'link_datagrams.c'],
    libraries: ['-pthread'],
  },
  {
    name: 'loadgen-vde',
    sources: [...player, 'link_vde.c', 'link_datagrams.c'],
    libraries: ['-pthread', '-lvdeplug'],
    needs: 'apt-get install libvdeplug-dev vde2',
  },
  { name: 'vm', sources: ['vm.c', 'frame.c', 'link.c', 'link_stream.c'], libraries: [] },
  { name: 'pour', sources: ['pour.c'], libraries: [] },
]

/** The path of a compiled program. */
export const programPath = name => build + name

/** Compiles what is not up to date. Throws a BenchError that holds what the compiler said. */
export function buildPrograms() {
  mkdirSync(build, { recursive: true })
  const newest = Math.max(...readdirSync(native).map(file => statSync(native + file).mtimeMs))
  for (const program of programs) {
    const path = programPath(program.name)
    if (!existsSync(path) || statSync(path).mtimeMs < newest) compile(program, path)
  }
}

function compile({ name, sources, libraries, needs }, path) {
  const files = sources.map(source => native + source)
  const cc = process.env.CC ?? 'cc'
  const { status, error, stderr } = spawnSync(cc, [...flags, ...files, '-o', path, ...libraries], {
    encoding: 'utf8',
  })
  if (stderr) process.stderr.write(stderr)
  if (status === 0) return
  const hint = needs ? `\nit needs: ${needs}` : ''
  throw new BenchError(`${name} did not compile: ${error?.message ?? `${cc} exits ${status}`}${hint}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildPrograms()

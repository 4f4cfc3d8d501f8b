// `vmbridge talos plan` as people and scripts call it: stdout is a stream for kubectl or talosctl, whatever else is said.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { scratch, vmbridge } from './command.js'

t.setTimeout(120_000)

const SIZES = ['--controlplanes', '3', '--workers', '2']

/** A PATH that begins with a talosctl that says what it is given, and has been told how to be asked. */
function pathWith(t: Test, version: string): string {
  const folder = join(scratch(t), 'bin')
  mkdirSync(folder)
  const program = join(folder, 'talosctl')
  writeFileSync(
    program,
    `#!/bin/sh\n[ "$*" = "version --client --short" ] || exit 1\nprintf 'Client:\\nTalos ${version}\\n'\n`,
  )
  chmodSync(program, 0o755)
  return `${folder}:${process.env['PATH']}`
}

/** As kubectl and talosctl read a stream: comments are nothing, and each document is a map. */
function documentsOf(t: Test, text: string): Record<string, unknown>[] {
  const documents = parseAllDocuments(text)
  for (const { errors, warnings } of documents) t.strictSame([errors, warnings], [[], []])
  return documents.map(each => each.toJS() as Record<string, unknown>)
}

t.test('stdout is ready for kubectl apply -f -: MetalLB resources and comments, nothing else', async t => {
  const { status, stdout, stderr } = await vmbridge(['talos', 'plan', ...SIZES])
  t.strictSame([status, stderr], [0, ''])
  t.strictSame(
    documentsOf(t, stdout).map(({ apiVersion, kind }) => `${String(apiVersion)} ${String(kind)}`),
    ['metallb.io/v1beta1 IPAddressPool', 'metallb.io/v1beta1 L2Advertisement'],
  )
  t.match(stdout, /^# {3}controlplane-3 +10\.5\.0\.4$/m)
  t.match(stdout, /^# {3}worker-2 +10\.5\.0\.6$/m)
  t.match(stdout, /^# {3}DHCP +10\.5\.0\.2-10\.5\.0\.199$/m)
  t.match(stdout, /^# {3}VIPs +10\.5\.0\.200-10\.5\.0\.254$/m)
})

t.test(
  'the commands in the comments can be pasted: the first makes the patch, the second takes it',
  async t => {
    const env = { PATH: pathWith(t, 'v1.13.9') }
    const { stdout } = await vmbridge(['talos', 'plan', ...SIZES, '--use-vip'], { env })
    const [, line] = /^# {3}vmbridge (talos plan .*) >talos-patch\.yaml$/m.exec(stdout) ?? []
    const patch = await vmbridge((line ?? '').split(' '))
    t.equal(patch.status, 0, line)
    t.match(documentsOf(t, patch.stdout)[0], { machine: { nodeLabels: {} } })
    const create =
      'sudo -E /opt/vmbridge/bin/vmbridge talos run -- talosctl cluster create dev --use-vip --cidr 10.5.0.0/24'
    t.ok(
      stdout.includes(
        `#   ${create} --controlplanes 3 --workers 2 --config-patch-control-plane @talos-patch.yaml\n`,
      ),
    )
  },
)

t.test('--patch has the form of the talosctl that is found, unless another is named', async t => {
  const kinds = async (args: string[], version: string) => {
    const env = { PATH: pathWith(t, version) }
    const { status, stdout, stderr } = await vmbridge(['talos', 'plan', '--patch', ...args], { env })
    t.strictSame([status, stderr], [0, ''])
    return documentsOf(t, stdout).map(({ kind }) => kind)
  }
  t.strictSame(await kinds([], 'v1.13.9'), [undefined])
  t.strictSame(await kinds([], 'v1.14.0'), ['KubeNodeConfig', 'KubeProxyConfig'])
  t.strictSame(await kinds(['--talos-version', 'v1.12'], 'v1.14.0'), [undefined])
  t.strictSame(await kinds(['--talos-version', '1.14'], 'v1.13.9'), ['KubeNodeConfig', 'KubeProxyConfig'])
  t.strictSame(await kinds([], 'nonsense'), ['KubeNodeConfig', 'KubeProxyConfig'], 'the newest form')
})

t.test('--json has everything', async t => {
  const { status, stdout } = await vmbridge([
    'talos',
    'plan',
    ...SIZES,
    '--json',
    '--talos-version',
    'v1.13.9',
  ])
  t.equal(status, 0)
  const plan = JSON.parse(stdout) as Record<string, unknown> & { talos: { patch: string } }
  t.match(plan, {
    cidr: '10.5.0.0/24',
    gateway: '10.5.0.1',
    apiServers: ['10.5.0.1', '10.5.0.2', '10.5.0.3', '10.5.0.4'],
    dhcp: '10.5.0.2-10.5.0.199',
    pool: '10.5.0.200-10.5.0.254',
    metallb: [{ kind: 'IPAddressPool' }, { kind: 'L2Advertisement' }],
    talos: { version: 'v1.13.9', option: '--config-patch-controlplanes' },
  })
  t.equal((plan['nodes'] as unknown[]).length, 5)
  t.equal(documentsOf(t, plan.talos.patch).length, 1)
})

t.test('what is wrong is said, with status 2, and stdout stays empty', async t => {
  const wrong: [string[], RegExp][] = [
    [['x'], /no operand.*"x"/],
    [['--nonsense'], /--nonsense/],
    [['--controlplanes', '0'], /--controlplanes 0 is not a number from 1 on/],
    [['--workers', '-1'], /--workers/],
    [['--workers', '1.5'], /--workers 1\.5/],
    [['--cidr', '10.5.0.7/24'], /base/],
    [['--pool', '10.5.0.3-10.5.0.4'], /controlplane-2 10\.5\.0\.3/],
    [['--patch', '--json'], /--patch and --json/],
    [['--talos-version', 'newest'], /--talos-version newest/],
  ]
  for (const [args, says] of wrong) {
    const { status, stdout, stderr } = await vmbridge(['talos', 'plan', ...SIZES, ...args])
    t.strictSame([status, stdout], [2, ''], args.join(' '))
    t.match(stderr, says)
    t.match(stderr, /\n {2}try: /)
  }
})

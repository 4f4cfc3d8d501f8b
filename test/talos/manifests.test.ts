// What MetalLB and Talos are told, read back as they read it, and held against what they take: MetalLB's resource
// definitions (metallb.io/v1beta1), and the machine configuration that talosctl generates in each version.

import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { clusterOf, vipPool } from '../../src/talos/cluster.js'
import {
  createArguments,
  metallbResources,
  patchOption,
  talosPatch,
  yamlOf,
} from '../../src/talos/manifests.js'
import { generationOf, parseTalosVersion } from '../../src/talos/version.js'

const LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers'
const TAINT = 'node-role.kubernetes.io/control-plane'

const cluster = (workers: number) =>
  clusterOf({ cidr: '10.5.0.0/24', controlplanes: 3, workers, useVip: false })
const version = (text: string) => parseTalosVersion(text)!
const readBack = (text: string) => parseAllDocuments(text).map(each => each.toJS() as Record<string, unknown>)

t.test('MetalLB: a pool and what announces it, by the fields of its definitions', async t => {
  const text = yamlOf(metallbResources(vipPool(cluster(2), 'auto')))
  const metadata = { name: 'vmbridge', namespace: 'metallb-system' }
  t.strictSame(readBack(text), [
    {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata,
      spec: { addresses: ['10.5.0.200-10.5.0.254'] },
    },
    {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'L2Advertisement',
      metadata,
      spec: { ipAddressPools: ['vmbridge'] },
    },
  ])
})

t.test('one address is a /32: MetalLB takes prefixes and ranges', async t => {
  const [pool] = readBack(yamlOf(metallbResources(vipPool(cluster(2), '10.5.0.240'))))
  t.strictSame(pool['spec'], { addresses: ['10.5.0.240/32'] })
})

t.test(
  'Talos to v1.13: one document, the label deleted, strict ARP as an argument of kube-proxy',
  async t => {
    for (const text of ['v1.11.0', 'v1.12.6', 'v1.13.9']) {
      t.strictSame(readBack(yamlOf(talosPatch(cluster(2), version(text)))), [
        {
          machine: { nodeLabels: { [LABEL]: { $patch: 'delete' } } },
          cluster: { proxy: { extraArgs: { 'ipvs-strict-arp': 'true' } } },
        },
      ])
    }
  },
)

t.test('Talos from v1.14 on: documents of their own, for it refuses the old keys beside them', async t => {
  for (const text of ['v1.14.0-rc.1', 'v1.14.0', 'v2.0.1']) {
    const documents = readBack(yamlOf(talosPatch(cluster(2), version(text))))
    t.strictSame(documents, [
      { apiVersion: 'v1alpha1', kind: 'KubeNodeConfig', labels: { [LABEL]: { $patch: 'delete' } } },
      { apiVersion: 'v1alpha1', kind: 'KubeProxyConfig', config: { ipvs: { strictARP: true } } },
    ])
    t.notOk(documents.some(each => 'machine' in each || 'cluster' in each))
  }
})

t.test('where there are no workers, pods may run on control planes', async t => {
  const [old] = readBack(yamlOf(talosPatch(cluster(0), version('v1.13.9'))))
  t.match(old, { cluster: { allowSchedulingOnControlPlanes: true } })
  const [fresh] = readBack(yamlOf(talosPatch(cluster(0), version('v1.14.0'))))
  t.strictSame(fresh['taints'], { [TAINT]: { $patch: 'delete' } })
})

t.test('no anchors and aliases: Talos finds no $patch behind one', async t => {
  for (const text of ['v1.13.9', 'v1.14.0'])
    t.notMatch(yamlOf(talosPatch(cluster(0), version(text))), /[&*]a\d/, text)
})

t.test("talosctl's words changed in v1.12", async t => {
  const words = (text: string) => createArguments(cluster(2), version(text), 'p.yaml').join(' ')
  const sizes = '--cidr 10.5.0.0/24 --controlplanes 3 --workers 2'
  t.equal(words('v1.11.6'), `cluster create --provisioner qemu ${sizes} --config-patch-control-plane @p.yaml`)
  t.equal(words('v1.12.0'), `cluster create qemu ${sizes} --config-patch-controlplanes @p.yaml`)
  t.equal(patchOption(version('v1.14.0')), '--config-patch-controlplanes')
  const withVip = clusterOf({ cidr: '10.5.0.0/24', controlplanes: 1, workers: 1, useVip: true })
  t.match(
    createArguments(withVip, version('v1.13.9'), 'p').join(' '),
    /^cluster create dev --use-vip --cidr /,
  )
})

t.test('versions, as talosctl prints them', async t => {
  const known: [string, string | undefined, string | undefined][] = [
    ['Client:\nTalos v1.13.9\n', 'v1.13.9', 'G1'],
    ['Client:\nTalos v1.14.0-rc.1\n', 'v1.14.0-rc.1', 'G2'],
    ['Client:\n\tTag:         v1.11.2\n\tSHA:         abcdef\n', 'v1.11.2', 'G1'],
    ['1.14', 'v1.14', 'G2'],
    ['v1.10.4', 'v1.10.4', undefined],
    ['v2.1.0', 'v2.1.0', 'G2'],
    ['Client:\n', undefined, undefined],
  ]
  for (const [text, expected, generation] of known) {
    const found = parseTalosVersion(text)
    t.equal(found?.text, expected, text)
    t.equal(found && generationOf(found), generation, text)
  }
})

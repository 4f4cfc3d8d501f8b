// Imports point one way. This reads the import statements of src and holds the rules that say which part may know
// which. A layer is a folder; the files beside the folders, such as errors.ts, are the base that stands on none.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'
import t from 'tap'
import { ROOT } from './helpers/root.js'

const SRC = join(ROOT, 'src')

/** What the files of a folder may import besides their own; `base` is any file beside the folders but native.ts. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  native: [],
  wire: [],
  switch: ['wire'],
  dhcp: ['wire', 'base'],
  dns: ['wire', 'base'],
  neighbors: ['wire', 'base'],
  capture: ['wire', 'base'],
  config: ['wire', 'base'],
  ports: ['switch', 'native', 'wire', 'base'],
  // An uplink is a port on a descriptor of its own: it stands on ports, which know nothing of it. That of a shared
  // network answers DNS.
  uplink: ['ports', 'switch', 'native', 'dns', 'wire', 'base'],
  control: ['base'],
  // `lima check` knows an installed tree by its manifest.
  compat: ['install', 'native', 'wire', 'base', 'config'],
  talos: ['control', 'native', 'wire', 'base', 'config'],
  // It builds a network as the daemon does, and stands before it as VMs and the host do.
  selftest: ['daemon', 'dhcp', 'uplink', 'switch', 'native', 'wire', 'base'],
  // It starts the daemon by its command line, and knows it no other way.
  service: ['base', 'config'],
  // The stand-ins' settings say what belongs to them.
  install: ['talos', 'native', 'base'],
}

/** Imports that a rule above would forbid, each with why it may be. */
const EXCEPTIONS: Record<string, string> = {
  'compat/socket-vmnet-daemon.ts daemon/daemon.ts': 'socket_vmnet is the daemon by another command line',
  'compat/socket-vmnet-daemon.ts daemon/settings.ts': 'and says by its own words what the daemon is told',
  'talos/cluster.ts dhcp/range.ts': 'VIPs keep away from what the built-in DHCP server leases',
  'control/server.ts ports/claim.ts': 'the control socket has the rights of the sockets of VMs',
  'control/server.ts ports/listener.ts': 'it is claimed and its peers are known as theirs are',
}

/** What a command may import: never the daemon, which it meets through the control client. */
const CLI_MAY_NOT = ['daemon', 'dhcp', 'neighbors', 'capture', 'selftest']
/** The command that is the daemon, and the one that checks this machine with a network of its own. */
const DAEMON_COMMAND = /^cli\/(?:daemon[^/]*|selftest)\.ts$/

interface Import {
  from: string
  /** A path inside src, or the name of a module outside of it. */
  to: string
  local: boolean
  typeOnly: boolean
  /** By a call of import(), at a time of its own. */
  late: boolean
}

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
  .map(entry => relative(SRC, join(entry.parentPath, entry.name)).split(sep).join('/'))

const STATEMENT = /^(?:import|export)\s+(type\s)?(?:[\w*{}\s,$]+?\sfrom\s+)?'([^']+)'/gm
const CALL = /\b(?:import|require)\(\s*'([^']+)'\s*\)/g

function importsOf(from: string): Import[] {
  const text = readFileSync(join(SRC, from), 'utf8')
  const found = (to: string, typeOnly: boolean, late: boolean): Import =>
    to.startsWith('.')
      ? { from, to: normalize(join(dirname(from), to)).replace(/\.js$/, '.ts'), local: true, typeOnly, late }
      : { from, to, local: false, typeOnly, late }
  return [
    ...[...text.matchAll(STATEMENT)].map(([, type, to]) => found(to, type !== undefined, false)),
    ...[...text.matchAll(CALL)].map(([, to]) => found(to, false, true)),
  ]
}

const imports = files.flatMap(importsOf)
const layerOf = (path: string) =>
  path === 'native.ts' ? 'native' : path.includes('/') ? path.split('/')[0] : 'base'
const show = ({ from, to }: Import) => `${from} ${to}`

t.test('the imports are found, and lead to files', async t => {
  t.ok(imports.length > 100)
  for (const each of imports) if (each.local) t.ok(files.includes(each.to), show(each))
  const words = files.flatMap(
    file => readFileSync(join(SRC, file), 'utf8').match(/^import\b|^export .* from /gm) ?? [],
  )
  t.equal(imports.filter(({ late }) => !late).length, words.length, 'every statement was read')
})

t.test('every layer has its rule', async t => {
  const layers = new Set(files.map(layerOf))
  for (const layer of layers) t.ok(layer in MAY_IMPORT || layer === 'cli' || layer === 'daemon', layer)
})

t.test('imports point one way', async t => {
  for (const each of imports.filter(({ local }) => local)) {
    const [from, to] = [layerOf(each.from), layerOf(each.to)]
    if (from === to || from === 'daemon' || from === 'cli' || show(each) in EXCEPTIONS) continue
    t.ok(MAY_IMPORT[from].includes(to), `${show(each)}${each.typeOnly ? ' (types)' : ''}`)
  }
})

t.test('no exception is left over', async t => {
  for (const exception of Object.keys(EXCEPTIONS)) t.ok(imports.map(show).includes(exception), exception)
})

t.test(
  'commands reach the daemon through the control client; the daemon command alone starts one',
  async t => {
    for (const each of imports.filter(({ local, from }) => local && layerOf(from) === 'cli')) {
      if (!DAEMON_COMMAND.test(each.from)) t.notOk(CLI_MAY_NOT.includes(layerOf(each.to)), show(each))
    }
    for (const each of imports.filter(({ local }) => local)) {
      if (layerOf(each.from) !== 'cli') t.not(layerOf(each.to), 'cli', show(each))
      if (!['cli', 'daemon', 'selftest'].includes(layerOf(each.from)) && !(show(each) in EXCEPTIONS))
        t.not(layerOf(each.to), 'daemon', show(each))
    }
  },
)

t.test(
  'the command line and the commands that ask a daemon load neither the addon nor the logger, nor any package',
  async t => {
    for (const entry of ['cli/main.ts', 'cli/status.ts', 'cli/leases.ts', 'cli/reservations.ts']) {
      const reached = new Set([entry])
      for (const from of reached) {
        for (const each of imports.filter(each => each.from === from && !each.typeOnly && !each.late)) {
          if (each.local) reached.add(each.to)
          else t.match(each.to, /^node:/, `${from} ${each.to}`)
        }
      }
      for (const heavy of ['native.ts', 'log.ts']) t.notOk(reached.has(heavy), `${entry} reaches ${heavy}`)
    }
  },
)

t.test('the codecs stand on nothing, not even on Node', async t => {
  for (const each of imports.filter(({ from }) => layerOf(from) === 'wire' || layerOf(from) === 'switch')) {
    t.ok(each.local, show(each))
  }
})

t.test('one file loads the addon', async t => {
  const loaders = files.filter(file => /node-gyp-build/.test(readFileSync(join(SRC, file), 'utf8')))
  t.same(loaders, ['native.ts'])
})

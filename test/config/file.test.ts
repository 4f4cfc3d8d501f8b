// vmbridge.yaml as words: what its form can have wrong, each with its line and column, and what is taken as it was written.

import t from 'tap'
import { faultLine } from '../../src/config/faults.js'
import { MAX_NETWORKS, readWords, type Entries, type Keys } from '../../src/config/file.js'

const KEYS: { top: Keys; network: Keys } = {
  top: { control: 'text', 'log-level': 'text' },
  network: { gateway: 'text', domain: 'text', dns: 'list', isolate: 'switch', 'state-dir': 'text' },
}

const faultsOf = (text: string): string[] =>
  readWords(text, KEYS)
    .faults.list()
    .map(fault => faultLine('F', fault))

const textsOf = (entries: Entries): Record<string, string[]> =>
  Object.fromEntries([...entries].map(([name, { words }]) => [name, words.map(({ text }) => text)]))

t.test('every fault of the form has its line and column, and says what was meant', async t => {
  const ALIAS = 'an alias (*x); write what it stands for'
  const NAMES = 'letters, digits, -, _ and ., at most 32, a letter or a digit first'
  const table: [text: string, ...says: string[]][] = [
    ['networks:\n  a:\n    gatway: 1\n', 'F:3:5: gatway is not a key of a network; did you mean gateway?'],
    ['network: {}\n', 'F:1:1: network is not a key of the file; did you mean networks?'],
    ['x: 1\n', 'F:1:1: x is not a key of the file; the keys are control, log-level, networks'],
    [
      'gateway: 1\n',
      'F:1:1: gateway is not a key of the file; it stands in a network: networks: { default: { gateway: … } }',
    ],
    [
      'reservations: []\n',
      'F:1:1: reservations is not a key of the file; it stands in a network: networks: { default: { reservations: … } }',
    ],
    [
      'networks: { a: { control: x } }',
      'F:1:18: control is not a key of a network; it stands at the top of the file, for all networks',
    ],
    [
      'networks: { a: { reservation: [] } }',
      'F:1:18: reservation is not a key of a network; did you mean reservations?',
    ],
    [
      'networks: { a: { reservations: [ { ip: 1, adress: x } ] } }',
      'F:1:43: adress is not a key of a reservation; the keys are ip, mac, client-id, name, hostname, options',
    ],
    ['networks:\n\ta:\n', 'F:2:1: Tabs are not allowed as indentation'],
    ['control: "a\n', 'F:2:1: Missing closing "quote'],
    ['control: a\n b: c\n', 'F:1:10: Nested mappings are not allowed in compact mappings'],
    ['control: a\n---\ncontrol: b\n', 'F:2:1: a second document: one file has one'],
    ['control: a\ncontrol: b\n', 'F:2:1: control is there already, in line 1'],
    ['networks:\n  a:\n    gateway: 1\n    gateway: 2\n', 'F:4:5: gateway is there already, in line 3'],
    ['networks:\n  a: {}\n  b: {}\n  a: {}\n', 'F:4:3: the network a is there already, in line 2'],
    ['networks:\n  a: {}\n  A: {}\n', 'F:3:3: the network A is there already, in line 2'],
    ['- a\n', 'F:1:1: the file is no mapping; KEY: VALUE'],
    ['a\n', 'F:1:1: the file is no mapping; KEY: VALUE'],
    ['networks: [a]\n', 'F:1:11: networks is no mapping; KEY: VALUE'],
    ['networks: { a: b }\n', 'F:1:16: the network a is no mapping; KEY: VALUE'],
    ['networks: { a: { reservations: x } }\n', 'F:1:32: reservations is no list; - { ip: IP, mac: MAC }'],
    ['networks: { a: { reservations: [ x ] } }\n', 'F:1:34: a reservation is no mapping; KEY: VALUE'],
    ['networks: { a: { gateway: [ 1 ] } }\n', 'F:1:27: gateway is a list, and takes one text'],
    ['networks: { a: { gateway: { b: 1 } } }\n', 'F:1:27: gateway is a mapping, and takes one text'],
    ['networks: { a: { dns: [ 1, [ 2 ] ] } }\n', 'F:1:28: dns is a list, and takes one text'],
    ['networks: { a: { isolate: yes } }\n', 'F:1:27: isolate is yes, and takes true or false'],
    ['networks: { a: { isolate: [ true ] } }\n', 'F:1:27: isolate is a list, and takes one text'],
    ['control:\n', 'F:1:9: control has no value; give it one, or leave it out'],
    ['? [ a ]\n: b\n', 'F:1:3: a key is a list, and takes one text'],
    ['control: "a\\0b"\n', 'F:1:10: control has a control character or several lines'],
    ['control: |\n  a\n  b\n', 'F:1:10: control has a control character or several lines'],
    ['"a\\eb": 1\n', 'F:1:1: a key has a control character or several lines'],
    ['networks: { "a b": {} }\n', `F:1:13: "a b" is no name of a network; ${NAMES}`],
    ['networks: { "../x": {} }\n', `F:1:13: ../x is no name of a network; ${NAMES}`],
    ['networks: { .: {} }\n', `F:1:13: . is no name of a network; ${NAMES}`],
    [`networks: { ${'n'.repeat(33)}: {} }\n`, `F:1:13: ${'n'.repeat(33)} is no name of a network; ${NAMES}`],
    ['<<: { control: a }\n', 'F:1:1: a merge key (<<); write what it stands for'],
    ['networks: { a: &x { dns: 1 }, b: { <<: *x } }\n', 'F:1:36: a merge key (<<); write what it stands for'],
    ['networks: { a: &x { dns: 1 }, b: *x }\n', `F:1:34: ${ALIAS}`],
    ['networks: { a: { dns: &x [ 1 ] }, b: { dns: *x } }\n', `F:1:45: ${ALIAS}`],
    ['networks: { a: { dns: [ &x 1, *x ] } }\n', `F:1:31: ${ALIAS}`],
    ['networks: *x\n', `F:1:11: ${ALIAS}`],
    [
      'networks:\n  lab:\n  gateway: 1\n',
      'F:3:3: gateway is a key of a network, and stands here as the name of one; indent it below the name of its network',
    ],
    [
      'networks: { a: {gateway:1} }\n',
      'F:1:17: gateway:1 is not a key of a network; a space behind the colon: gateway: 1',
    ],
    ['control:a\ny\n', 'F:1:1: the file is no mapping; KEY: VALUE'],
    ['control: a\nb:c\n', 'F:2:1: a key without a value; KEY: VALUE, with a space behind the colon'],
    ['control: !!str a\n', 'F:1:16: a tag (!!str); leave it out'],
    ['!!str control: a\n', 'F:1:7: a tag (!!str); leave it out'],
    ['networks: !!map { a: {} }\n', 'F:1:17: a tag (!!map); leave it out'],
    ['networks: { a: !!map {} }\n', 'F:1:22: a tag (!!map); leave it out'],
    ['networks: { a: { dns: !!seq [ 1 ] } }\n', 'F:1:29: a tag (!!seq); leave it out'],
    ['networks: { a: { reservations: !!seq [] } }\n', 'F:1:38: a tag (!!seq); leave it out'],
    ['control: !secret a\n', 'F:1:10: Unresolved tag: !secret; leave it out'],
    [
      '%YAML 1.1\n---\ncontrol: a\n',
      'F:1:1: a file of an older YAML, where texts mean other things; leave the %YAML line out',
    ],
    [
      '__proto__: 1\n',
      'F:1:1: __proto__ is not a key of the file; the keys are control, log-level, networks',
    ],
    [
      'networks: { a: { constructor: 1 } }\n',
      'F:1:18: constructor is not a key of a network; the keys are gateway, domain, dns, isolate, state-dir, reservations',
    ],
  ]
  for (const [text, ...says] of table) t.same(faultsOf(text), says, text)
})

t.test('all faults at once, in the order of the text', async t => {
  t.same(
    faultsOf('networks:\n  a: { dns: { } }\n  b: { moed: 1, gatway: 2 }\nlog_level: x\n').map(
      line => line.split(': ')[0],
    ),
    ['F:2:13', 'F:3:8', 'F:3:17', 'F:4:1'],
  )
})

t.test('a text is what was written, as on a command line', async t => {
  const { top, networks, faults } = readWords(
    'control: 0660\nlog-level: ~\nnetworks:\n  10.5.0.1-24: { gateway: 010, domain: yes, dns: [1e3, "2", null], isolate: true }\n  b: { isolate: false, dns: 9 }\n  c:\n',
    KEYS,
  )
  t.same(faults.list(), [])
  t.same(textsOf(top), { control: ['0660'], 'log-level': ['~'] })
  t.same(
    networks?.map(({ name, entries }) => [name, textsOf(entries)]),
    [
      ['10.5.0.1-24', { gateway: ['010'], domain: ['yes'], dns: ['1e3', '2', 'null'], isolate: ['true'] }],
      ['b', { dns: ['9'] }],
      ['c', {}],
    ],
  )
})

t.test('an empty file says nothing, and so does one of comments', async t => {
  for (const text of ['', '\n', '# nothing\n', '---\n', '\ufeff'])
    t.match(readWords(text, KEYS), { networks: undefined, faults: { size: 0 } }, JSON.stringify(text))
  t.same(readWords('networks:\n', KEYS).networks, [])
  t.same(readWords('networks: {}\n', KEYS).networks, [])
})

t.test('the number of networks is bounded', async t => {
  const file = (count: number): string =>
    `networks:\n${Array.from({ length: count }, (_, i) => `  n${i}: {}\n`).join('')}`
  t.same(faultsOf(file(MAX_NETWORKS)), [])
  t.same(faultsOf(file(MAX_NETWORKS + 9)), [
    `F:${MAX_NETWORKS + 2}:3: there are more than ${MAX_NETWORKS} networks`,
  ])
})

t.test('so are texts, reservations and what is told', async t => {
  const list = (count: number): string => `networks: { a: { dns: [ ${'1, '.repeat(count)} ] } }`
  t.same(faultsOf(list(256)), [])
  t.same(faultsOf(list(257)), ['F:1:18: dns has more than 256 values'])
  const reserved = (count: number): string => `networks: { a: { reservations: [ ${'{}, '.repeat(count)} ] } }`
  t.same(faultsOf(reserved(4096)), [])
  t.same(faultsOf(reserved(4097)), ['F:1:18: there are more than 4096 reservations'])
  const many = faultsOf(Array.from({ length: 5000 }, (_, i) => `x${i}: 1\n`).join(''))
  t.equal(many.length, 101)
  t.equal(many.at(-1), 'F:100:1: and 4900 more')
})

t.test('what is nested without end is refused, and a large file is read in one pass', async t => {
  for (const text of ['['.repeat(100_000), '{'.repeat(100_000), '- '.repeat(100_000), '? '.repeat(100_000)])
    t.match(faultsOf(text).join('\n'), /nested too deeply/, text.slice(0, 2))
  // Compared in pairs, these keys would take minutes.
  t.equal(faultsOf(Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join('\n')).length, 101)
  // Each alias doubles the one before: 2^60 texts, if they were followed.
  const bomb = Array.from({ length: 60 }, (_, i) => `x${i}: &x${i} [*x${i - 1}, *x${i - 1}]`).join('\n')
  t.ok(
    faultsOf(`x: &x-1 1\n${bomb}\ncontrol: *x59\n`).includes(
      'F:62:10: an alias (*x59); write what it stands for',
    ),
  )
})

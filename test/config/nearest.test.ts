// What somebody may have meant.

import t from 'tap'
import { nearest } from '../../src/config/nearest.js'

const KEYS = ['gateway', 'mode', 'mtu', 'dns', 'dhcp', 'dhcp-range', 'dhcp-exclude', 'socket', 'dgram']

t.test('one or two slips of a hand', async t => {
  for (const [word, meant] of [
    ['gatway', 'gateway'],
    ['gatewya', 'gateway'],
    ['Gateway', 'gateway'],
    ['gtaewya', 'gateway'],
    ['dhcp_range', 'dhcp-range'],
    ['dhcprange', 'dhcp-range'],
    ['sockets', 'socket'],
    ['mdoe', 'mode'],
    ['dn', 'dns'],
    ['dhcp-exlude', 'dhcp-exclude'],
  ] as const)
    t.equal(nearest(word, KEYS), meant, word)
})

t.test('more are another word', async t => {
  for (const word of [
    '',
    'x',
    'moo',
    'router',
    'gtwy',
    'subnet',
    'constructor',
    '__proto__',
    'g'.repeat(5000),
  ])
    t.equal(nearest(word, KEYS), undefined, word)
})

t.test('the nearest of several', async t => {
  t.equal(nearest('abcdef', ['abcdxx', 'abcdeg']), 'abcdeg')
  t.equal(nearest('abcdef', []), undefined)
})

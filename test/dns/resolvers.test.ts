// What a resolv.conf names, and that a change of it is seen.

import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Resolvers, resolversIn } from '../../src/dns/resolvers.js'
import { scratch } from '../cli/command.js'

t.test('its nameservers, three at most, of either family; without any the one on this host', async t => {
  const cases: [string, string[]][] = [
    ['nameserver 192.0.2.1\nnameserver\t2001:db8::1\n', ['192.0.2.1', '2001:db8::1']],
    ['search lab\n# nameserver 192.0.2.9\noptions edns0\nnameserver 127.0.0.53', ['127.0.0.53']],
    ['nameserver fe80::1%eth0 # the router\n', ['fe80::1%eth0']],
    ['nameserver 192.0.2.1\n'.repeat(9), ['192.0.2.1', '192.0.2.1', '192.0.2.1']],
    ['nameserver one\nnameserver 1.2.3\nnameserver\n nameserver 192.0.2.1\n', ['127.0.0.1']],
    ['', ['127.0.0.1']],
    ['\0'.repeat(100), ['127.0.0.1']],
  ]
  for (const [text, addresses] of cases) t.strictSame(resolversIn(text), addresses, JSON.stringify(text))
})

t.test('a change is seen within a second; a file that is gone for a moment changes nothing', async t => {
  const path = join(scratch(t), 'resolv.conf')
  let now = 0
  const resolvers = new Resolvers({ path, except: '192.0.2.254', now: () => now })
  t.strictSame(resolvers.list(), ['127.0.0.1'], 'no file')
  const put = (text: string) => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  put('nameserver 192.0.2.1\n')
  t.strictSame(resolvers.list(), ['127.0.0.1'], 'not looked at for each query')
  now = 1000
  t.strictSame(resolvers.list(), ['192.0.2.1'])
  put('nameserver 192.0.2.2\nnameserver 192.0.2.254\n')
  now = 2000
  t.strictSame(resolvers.list(), ['192.0.2.2'], 'never itself')
  rmSync(path)
  now = 3000
  t.strictSame(resolvers.list(), ['192.0.2.2'])
  put('nameserver 192.0.2.254\n')
  now = 4000
  t.strictSame(resolvers.list(), [])
})

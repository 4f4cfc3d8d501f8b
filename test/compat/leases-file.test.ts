// The leases file on a disk: when it is written, as what, and what becomes of files that are none and of disks that do not do.

import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import vfs from 'node:fs'
import fs from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { MAX_OWN } from '../../src/compat/leases-file.js'
import { MAX_FILE, MAX_LINES } from '../../src/compat/leases-disk.js'
import { formatMac } from '../../src/wire/mac.js'
import { scratch } from '../cli/command.js'
import { requires } from '../helpers/requires.js'
import { bootpd, HOUR, keep, lease, LATER, leftovers, until } from './leases.js'
import { addressByText, parseLeases, readLeases } from './minikube.js'

t.setTimeout(60_000)

const A = lease('192.168.105.2', '02:00:00:00:00:0a')
const B = lease('192.168.105.3', '02:00:00:00:00:0b')
const OTHER = bootpd('192.168.64.2', '2:0:0:0:0:99')

const addressIn = (path: string, { mac }: typeof A): string | undefined =>
  addressByText(readLeases(path), formatMac(mac.hi, mac.lo))
/** What watching a folder may end in. */
const fail = (code: string): never => {
  throw Object.assign(new Error(code), { code })
}
const has = (path: string, ...leases: (typeof A)[]): boolean =>
  leases.every(each => addressIn(path, each) !== undefined)

t.test('leases are in the file, for everybody to read, and follow their changes', async t => {
  const umask = process.umask(0o077)
  t.teardown(() => process.umask(umask))
  const path = join(scratch(t), 'leases')
  const { file, leases, lines } = keep(t, path, [A])
  await until(() => has(path, A), 'A is there')
  t.equal(statSync(path).mode & 0o7777, 0o644, 'whatever the umask')
  leases.push(B)
  file.changed()
  await until(() => has(path, A, B), 'both are there')
  t.equal(parseLeases(readLeases(path))[0].ip, '192.168.105.3', 'the newest first')
  leases.shift()
  file.changed()
  await until(() => !has(path, A), 'A is gone, which the server does not know any more')
  t.ok(has(path, B))
  await until(() => leftovers(path).length === 0, 'nothing lies beside it')
  t.match(lines, [{ level: 'info', event: 'leases-file.ready', message: path }])
})

t.test('entries of others are kept, and the owner of the file', { skip: requires(['root']) }, async t => {
  const path = join(scratch(t), 'leases')
  writeFileSync(path, OTHER)
  chownSync(path, 1234, 4321)
  keep(t, path, [A])
  await until(() => has(path, A), 'A is there')
  t.ok(readLeases(path).endsWith(OTHER))
  const { uid, gid } = statSync(path)
  t.same([uid, gid], [1234, 4321])
})

t.test('leases that are over go: by time, by release, and from an earlier run', async t => {
  const path = join(scratch(t), 'leases')
  const now = { ms: LATER - HOUR }
  const clock = {
    now: () => now.ms,
    after: (ms: number, call: () => void) => {
      const timer = setTimeout(call, ms).unref()
      return () => clearTimeout(timer)
    },
  }
  const past = `0x${((LATER - 2 * HOUR) / 1000).toString(16)}`
  const foreign = bootpd('192.168.64.7', '2:0:0:0:0:7', past)
  const live = bootpd('192.168.105.8', '2:0:0:0:0:8', '0xffffffff')
  // Of a run whose journal was lost; of one whose journal is there, and says that it was released; of others, over or in our subnet, but not both.
  writeFileSync(
    path,
    bootpd('192.168.105.6', '2:0:0:0:0:6', past) +
      bootpd('192.168.105.3', '2:0:0:0:0:b', '0xffffffff') +
      foreign +
      live,
  )
  const { file, leases } = keep(t, path, [{ ...B, expires: 1000 }, A], { clock })
  await until(() => has(path, A), 'A is there')
  t.equal(readLeases(path).split('\n').slice(7).join('\n'), foreign + live, 'what is over of ours is not')

  leases[1] = { ...A, expires: now.ms }
  file.changed()
  await until(() => !has(path, A), 'released')
  leases[1] = A
  file.changed()
  await until(() => has(path, A), 'leased again')
  now.ms = LATER
  await until(() => !has(path, A), 'its time is over, without a word from anybody')
  t.equal(readLeases(path), foreign + live)
})

t.test('asserted again when another program rewrites it', async t => {
  const path = join(scratch(t), 'leases')
  keep(t, path, [A])
  await until(() => has(path, A), 'A is there')
  const changes: Record<string, () => void> = {
    'replaced by rename': () => {
      writeFileSync(`${path}-`, OTHER)
      renameSync(`${path}-`, path)
    },
    'rewritten in place': () =>
      writeFileSync(path, OTHER + OTHER.replaceAll('99', '98').replace('64.2', '64.3')),
    emptied: () => truncateSync(path),
    removed: () => rmSync(path),
    'with a stale entry of the same MAC': () =>
      writeFileSync(path, bootpd('192.168.105.77', '2:0:0:0:0:a') + OTHER),
    'with a stale entry of the same address': () =>
      writeFileSync(path, bootpd('192.168.105.2', '2:0:0:0:0:77')),
    'with a comment': () => writeFileSync(path, `# mine\n${readLeases(path)}`),
    'with an old entry of ours': () =>
      writeFileSync(path, readLeases(path).replace(/lease=\w+/, 'lease=0x7ffffff0')),
  }
  for (const [name, change] of Object.entries(changes)) {
    change()
    const isRight = (): boolean => {
      const text = readLeases(path)
      return (
        /^\{.*\n\tlease=0xee6b2800\n/s.test(text) && !text.includes('.77') && parseLeases(text).length > 0
      )
    }
    const looksRight = (): boolean => {
      try {
        return isRight() && has(path, A)
      } catch {
        return false
      }
    }
    await until(looksRight, name)
    t.pass(name)
  }
})

t.test('a change is heard of at once, and without being heard it is found', async t => {
  for (const timing of [
    { write: 2, assert: 2, look: HOUR },
    { write: 2, assert: 2, look: 20 },
  ]) {
    const watch = vfs.watch
    t.teardown(() => {
      vfs.watch = watch
      syncBuiltinESMExports()
    })
    // As where watchers are used up.
    if (timing.look !== HOUR) vfs.watch = () => fail('EMFILE')
    syncBuiltinESMExports()
    const path = join(scratch(t), 'leases')
    const { file } = keep(t, path, [A], { timing })
    await until(() => has(path, A), 'A is there')
    writeFileSync(`${path}-`, OTHER)
    renameSync(`${path}-`, path)
    await until(() => has(path, A), 'A is there again')
    t.ok(readLeases(path).endsWith(OTHER))
    await file.close()
  }
})

t.test('two programs that do not agree are no storm', async t => {
  const path = join(scratch(t), 'leases')
  keep(t, path, [A], { timing: { write: 2, assert: HOUR, look: 5 } })
  await until(() => has(path, A), 'A is there')
  rmSync(path)
  await until(() => has(path, A), 'put back at once')
  rmSync(path)
  await new Promise(resolve => setTimeout(resolve, 100))
  t.notOk(existsSync(path), 'but not again and again')
})

t.test('a file that takes long to read is not read all the time', async t => {
  const path = join(scratch(t), 'leases')
  const rests: number[] = []
  let now = Date.now()
  const clock = {
    // Each look at the clock takes a second.
    now: () => (now += 1000),
    after(ms: number, call: () => void) {
      rests.push(ms)
      const timer = setTimeout(call, Math.min(ms, 5))
      return () => clearTimeout(timer)
    },
  }
  keep(t, path, [A], { clock, timing: { write: 2, assert: 5, look: 20 } })
  await until(() => has(path, A), 'A is there')
  await until(() => rests.includes(40), 'it rests for as long as it may')
  rests.length = 0
  writeFileSync(path, OTHER)
  await until(() => has(path, A), 'A is put back')
  await until(() => rests.includes(40), 'and rests')
})

t.test('a file that is in order is not written, and one that nobody touches is left alone', async t => {
  const path = join(scratch(t), 'leases')
  const { file } = keep(t, path, [A])
  await until(() => has(path, A), 'A is there')
  const { ino, mtimeNs } = statSync(path, { bigint: true })
  // Another daemon of ours puts its own in front.
  writeFileSync(path, OTHER + readLeases(path))
  const theirs = statSync(path, { bigint: true })
  t.equal(theirs.ino, ino)
  for (let i = 0; i < 20; i++) {
    file.changed()
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  const now = statSync(path, { bigint: true })
  t.same([now.ino, now.mtimeNs], [ino, theirs.mtimeNs])
  t.not(now.mtimeNs, mtimeNs)
})

t.test('two daemons with a network each share the file, and neither loses entries', async t => {
  const path = join(scratch(t), 'leases')
  const [C, D] = [lease('10.0.0.2', '2:0:0:0:0:c'), lease('10.0.0.3', '2:0:0:0:0:d')]
  const one = keep(t, path, [A])
  const two = keep(t, path, [C], { suffix: 'vmbridge-two' })
  await until(() => has(path, A, C), 'both')
  one.leases.push(B)
  two.leases.push(D)
  one.file.changed()
  two.file.changed()
  await until(() => has(path, A, B, C, D), 'all four')
  two.leases.length = 0
  two.file.changed()
  await until(() => !has(path, C) && !has(path, D), 'theirs go')
  t.ok(has(path, A, B))
  await two.file.close()
  await until(() => leftovers(path).length === 0, 'nothing lies beside it')
})

t.test('live leases stay when it ends, with the last change', async t => {
  const path = join(scratch(t), 'leases')
  const { file, leases } = keep(t, path, [A], { timing: { write: HOUR, assert: HOUR, look: HOUR } })
  await until(() => has(path, A), 'A is there')
  leases.push(B)
  file.changed()
  t.notOk(has(path, B), 'the next write is an hour away')
  await file.close()
  t.ok(has(path, A, B))
  t.same(leftovers(path), [])
})

t.test('however many leases change, there is one write in its time', async t => {
  const path = join(scratch(t), 'leases')
  const { file } = keep(t, path, [A], { timing: { write: HOUR, assert: HOUR, look: HOUR } })
  await until(() => has(path, A), 'A is there')
  const { ino } = statSync(path)
  writeFileSync(path, '')
  for (let i = 0; i < 100; i++) {
    file.changed()
    await new Promise(resolve => setImmediate(resolve))
  }
  t.same([statSync(path).ino, statSync(path).size], [ino, 0])
})

t.test('a program that had the file open and writes to it after it was replaced loses nothing', async t => {
  const path = join(scratch(t), 'leases')
  writeFileSync(path, OTHER)
  const fd = openSync(path, 'r+')
  t.teardown(() => closeSync(fd))
  const { ino } = statSync(path)
  keep(t, path, [A], { timing: { write: 300, assert: 300, look: HOUR } })
  await until(() => statSync(path).ino !== ino, 'it was replaced')
  writeSync(fd, OTHER + bootpd('192.168.64.5', '2:0:0:0:0:55'), 0)
  await until(() => addressByText(readLeases(path), '2:0:0:0:0:55') === '192.168.64.5', 'it is there')
  t.ok(has(path, A))
  t.equal(readLeases(path).split(OTHER).length, 2, 'and the other entry once')
})

t.test('what another program puts there while we write is not overwritten', async t => {
  const path = join(scratch(t), 'leases')
  writeFileSync(path, OTHER)
  const original = fs.open
  const mend = (): void => {
    fs.open = original
    syncBuiltinESMExports()
  }
  t.teardown(mend)
  let times = 0
  // It has read the file by the time that it makes the new one.
  fs.open = (async (name: string, ...rest: [number]) => {
    if (name.includes('vmbridge-test') && ++times < 4) {
      writeFileSync(`${path}-`, OTHER + bootpd('192.168.64.3', `2:0:0:0:0:${times}`))
      renameSync(`${path}-`, path)
    }
    return original(name, ...rest)
  }) as typeof fs.open
  syncBuiltinESMExports()
  const { file } = keep(t, path, [A], { timing: { write: HOUR, assert: HOUR, look: HOUR } })
  await until(() => has(path, A), 'A is there')
  t.equal(times, 4, 'it began anew each time, and at once')
  t.equal(addressByText(readLeases(path), '2:0:0:0:0:3'), '192.168.64.3')
  await file.close()
})

t.test('a disk that hangs does not keep the daemon from its end', async t => {
  const original = fs.open
  t.teardown(() => {
    fs.open = original
    syncBuiltinESMExports()
  })
  // A call that hangs keeps the process alive; its stand-in does not.
  const alive = setInterval(() => {}, HOUR)
  t.teardown(() => clearInterval(alive))
  const opened = new Promise<void>(resolve => {
    fs.open = (() => {
      resolve()
      return new Promise(() => {})
    }) as typeof fs.open
  })
  syncBuiltinESMExports()
  const path = join(scratch(t), 'leases')
  const { file } = keep(t, path, [A])
  await opened
  await file.close()
  t.notOk(existsSync(path))
})

t.test('the folder may come later', async t => {
  const path = join(scratch(t), 'db', 'leases')
  const { warnings, lines } = keep(t, path, [A])
  await until(() => warnings().length > 0, 'it says so')
  t.match(warnings(), [/the leases file .*leases is not kept.*ENOENT.*--leases-file/])
  mkdirSync(join(path, '..'))
  await until(() => has(path, A), 'A is there')
  await until(() => lines.some(({ event }) => event === 'leases-file.kept'), 'it says that, too')
  t.equal(warnings().length, 1, 'once')
})

/** Each is left as it is, said once, and forgiven when it is out of the way. */
const FOREIGN: Record<string, { make: (path: string, folder: string) => void; why: RegExp }> = {
  'a symbolic link': {
    make: (path, folder) => {
      writeFileSync(join(folder, 'target'), OTHER)
      symlinkSync(join(folder, 'target'), path)
    },
    why: /symbolic link/,
  },
  'a dangling link': {
    make: (path, folder) => symlinkSync(join(folder, 'target'), path),
    why: /symbolic link/,
  },
  'a folder': { make: path => mkdirSync(path), why: /it is no file/ },
  'a FIFO': { make: path => void execFileSync('mkfifo', [path]), why: /it is no file/ },
  'a file that is far too large': {
    make: path => {
      writeFileSync(path, OTHER)
      truncateSync(path, MAX_FILE + 1)
    },
    why: /8388609 bytes, over 8388608/,
  },
  'a file of far too many lines': {
    make: path => writeFileSync(path, '\n'.repeat(MAX_LINES + 1)),
    why: /over 250000 lines/,
  },
}

for (const [name, { make, why }] of Object.entries(FOREIGN)) {
  t.test(`what is no leases file is left as it is: ${name}`, async t => {
    const [folder, place] = [scratch(t), scratch(t)]
    const path = join(folder, 'leases')
    make(path, place)
    const before = lstatSync(path)
    const { warnings, file } = keep(t, path, [A])
    await until(() => warnings().length > 0, 'it says so')
    t.match(warnings(), [why])
    file.changed()
    await new Promise(resolve => setTimeout(resolve, 100))
    t.equal(warnings().length, 1, 'once')
    const after = lstatSync(path)
    t.same([after.ino, after.mode, after.mtimeMs], [before.ino, before.mode, before.mtimeMs])
    if (existsSync(join(place, 'target'))) t.equal(readLeases(join(place, 'target')), OTHER)
    t.same(leftovers(path), [])
    rmSync(path, { recursive: true })
    await until(() => has(path, A), 'A is there')
  })
}

t.test('binary data and noise are no entries, and do not stop it', async t => {
  const path = join(scratch(t), 'leases')
  writeFileSync(path, Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 256)))
  keep(t, path, [A])
  await until(() => statSync(path).size < 1000, 'it was replaced')
  t.ok(has(path, A))
})

t.test('what a crash left beside it is replaced; what somebody put there stops nothing but this', async t => {
  const path = join(scratch(t), 'leases')
  const beside = `${path}.vmbridge-test`
  const target = join(scratch(t), 'target')
  writeFileSync(target, 'precious')
  symlinkSync(target, beside)
  const one = keep(t, path, [A])
  await until(() => has(path, A), 'A is there')
  t.equal(readLeases(target), 'precious', 'not through a link')
  await one.file.close()
  mkdirSync(beside)
  const two = keep(t, path, [A, B])
  await until(() => two.warnings().length > 0, 'it says so')
  t.same(parseLeases(readLeases(path)).length, 1, 'the file is as it was')
})

t.test('more leases than one would keep here: the newest', async t => {
  const path = join(scratch(t), 'leases')
  const clientId = new Uint8Array(255).fill(0xee)
  const many = Array.from({ length: MAX_OWN + 10 }, (_, i) => ({
    ...A,
    ip: A.ip + i,
    mac: { hi: 0x2ee, lo: 0xeeee0000 + i },
    hostname: 'x'.repeat(63),
    clientId,
  }))
  keep(t, path, many)
  await until(() => existsSync(path), 'it is there')
  t.equal(parseLeases(readLeases(path)).length, MAX_OWN)
  t.ok(has(path, many.at(-1)!))
  t.ok(statSync(path).size < MAX_FILE, 'it can be read again')
})

t.test(
  'a folder that may not be written to: said once, and DHCP has no part in it',
  { skip: requires(['root']) },
  async t => {
    const folder = scratch(t)
    const path = join(folder, 'leases')
    writeFileSync(path, OTHER)
    chmodSync(folder, 0o755)
    // As after --user: the process has given root up.
    process.seteuid?.(65_534)
    t.teardown(() => process.seteuid?.(0))
    const { warnings, file } = keep(t, path, [A])
    await until(() => warnings().length > 0, 'it says so')
    t.match(warnings(), [/EACCES.*let this user write to .*or none/])
    file.changed()
    await new Promise(resolve => setTimeout(resolve, 100))
    t.equal(warnings().length, 1)
    t.equal(readLeases(path), OTHER)
    await file.close()
  },
)

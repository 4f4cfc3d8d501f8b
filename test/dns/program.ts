// The two ends of DNS as programs, to run in network namespaces:
//   program.js serve ADDRESS                a resolver at port 53; its answers end with its own address, and those about
//                                           names that begin with "long" are cut off by UDP
//   program.js ask udp|tcp ADDRESS NAME     asks there and prints what came: truncated, the answer's end, or its RCODE

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { framed, MessageReader } from '../../src/dns/stream.js'
import { answerTo, query, rcode, Resolver } from './resolver.js'

/** Milliseconds until no answer is none: longer than the relay waits for three resolvers. */
const PATIENCE = 8000

const [verb, ...args] = process.argv.slice(2)
if (verb === 'serve') await serve(args[0])
else await ask(args[0], args[1], args[2])

async function serve(address: string): Promise<void> {
  const resolver = await Resolver.start({ teardown() {} }, address, 53)
  resolver.sayByTcp = asked => answerTo(asked, ` from ${address}`)
  resolver.say = asked => {
    if (!asked.includes('long')) return answerTo(asked, ` from ${address}`)
    const cut = answerTo(asked, '')
    cut[2] |= 0x02
    return cut
  }
  console.log('serving')
}

async function ask(how: string, address: string, name: string): Promise<void> {
  setTimeout(() => say('silence'), PATIENCE)
  const asked = query(0x1234, name)
  let answer: Buffer | undefined
  if (how === 'udp') {
    const socket = createSocket('udp4')
    socket.on('error', error => say(error.message))
    socket.connect(53, address)
    await once(socket, 'connect')
    socket.send(asked)
    answer = (await once(socket, 'message'))[0] as Buffer
  } else {
    const socket = connect(53, address)
    socket.on('error', error => say(error.message))
    socket.write(framed(asked))
    const reader = new MessageReader()
    for await (const chunk of socket) if ((answer = reader.push(chunk as Buffer))) break
  }
  if (answer === undefined) return say('closed')
  if (answer.readUInt16BE() !== 0x1234) return say('another ID')
  if ((answer[2] & 0x02) !== 0) return say('truncated')
  say(rcode(answer) === 0 ? answer.toString('latin1', asked.length).trim() : `rcode ${rcode(answer)}`)
}

function say(what: string): never {
  console.log(what)
  process.exit(0)
}

// minikube, in a hurry: reads the leases file over and over until its stdin ends, by all of its rules. Says how often, and
// the first file that it could not parse.

import { parseLeases, readLeases } from './minikube.js'

const [path] = process.argv.slice(2) as [string]
let reads = 0
let isEnd = false
process.stdin.on('data', () => (isEnd = true)).on('end', () => (isEnd = true))
console.log('begun')
while (!isEnd) {
  for (let i = 0; i < 20; i++, reads++) {
    const text = readLeases(path)
    try {
      parseLeases(text)
    } catch (error) {
      console.log(`failed after ${reads} reads: ${error}\n${JSON.stringify(text)}`)
      process.exit(1)
    }
  }
  await new Promise(resolve => setTimeout(resolve, 1))
}
console.log(`read ${reads} times`)
process.exit(0)

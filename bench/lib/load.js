// Runs the load generator once against a racer and gives its JSON.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { programPath } from './build.js'
import { BenchError } from './errors.js'

const execute = promisify(execFile)

// Below this share of a core the PID is not the one that moves the frames.
const LEAST_BUSY = 0.005

/**
 * @param racer as racers.js has it
 * @param mode 'throughput' or 'latency'
 * @param options of the load generator, without dashes: { ports: 2, size: 64 }
 * @param cpu the one core to run on, if any
 */
export async function runLoad(racer, mode, options, cpu) {
  const args = [mode, '--connect', racer.address, '--pid', String(racer.pid)]
  for (const [name, value] of Object.entries(options)) args.push(`--${name}`, String(value))
  const program = programPath(racer.loadgen)
  const [file, ...rest] =
    cpu === undefined ? [program, ...args] : ['taskset', '-c', String(cpu), program, ...args]
  let output
  try {
    output = await execute(file, rest)
  } catch (error) {
    throw new BenchError(`${racer.name}: ${(error.stderr || error.message).trim()}`)
  }
  const result = JSON.parse(output.stdout)
  if (result.frames === 0) throw new BenchError(`${racer.name}: not one frame came through`)
  if (result.serverBusy < LEAST_BUSY)
    throw new BenchError(`${racer.name}: PID ${racer.pid} does not move the frames`)
  return result
}

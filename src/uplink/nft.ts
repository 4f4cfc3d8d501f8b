/**
 * The program nft (package nftables), and what it says of the chains that there are.
 */

import { execFile } from 'node:child_process'
import { BridgeError, hasCode } from '../errors.js'

/** Milliseconds; one that has not answered by then hangs. It takes some ten. */
const PATIENCE = 10_000
/** Bytes of a listing, which other programs' chains are part of. */
const LONGEST_LISTING = 16 << 20
/** Nothing of the caller's environment: sudo may have kept a PATH that others can write to. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }

/** A chain of the packet filter. */
export interface Chain {
  family: string
  table: string
  name: string
  /** Of a base chain. */
  hook?: string
  policy?: string
}

/**
 * Carries out a script (nft(8)) as one transaction: all of it or nothing.
 * @throws BridgeError ERR_NAT_UNSUPPORTED, ERR_NAT
 */
export async function applyNft(script: string): Promise<void> {
  await runAgain(['-f', '-'], script)
}

/**
 * Every chain of every table in this network namespace.
 * @throws BridgeError ERR_NAT_UNSUPPORTED, ERR_NAT
 */
export async function listChains(): Promise<Chain[]> {
  const text = await runAgain(['-j', 'list', 'chains'])
  try {
    const { nftables } = JSON.parse(text) as { nftables: { chain?: Chain }[] }
    return nftables.flatMap(({ chain }) => chain ?? [])
  } catch (error) {
    throw new BridgeError('ERR_NAT', 'nft -j list chains gives no JSON', {
      hint: 'nftables 0.9.1 or later, built with JSON, as distributions have it',
      cause: error,
    })
  }
}

/**
 * A signal that ends this daemon may be for all of its processes (Ctrl-C, a service manager), and must not keep it from
 * cleaning up: a program that it ended is run anew. All that it is told may be said twice.
 */
async function runAgain(args: readonly string[], input = ''): Promise<string> {
  try {
    return await run(args, input)
  } catch (error) {
    const { cause } = error as { cause?: { signal?: string; killed?: boolean } }
    if (!cause?.signal || cause.killed) throw error
    return run(args, input)
  }
}

function run(args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      env: ENVIRONMENT,
      timeout: PATIENCE,
      killSignal: 'SIGKILL',
      maxBuffer: LONGEST_LISTING,
    } as const
    const child = execFile('nft', args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(explain(error, stderr))
    })
    // One that ends without reading is told of by its status.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

function explain(error: Error, stderr: string): BridgeError {
  if (hasCode(error, 'ENOENT') || hasCode(error, 'EACCES')) {
    return new BridgeError(
      'ERR_NAT_UNSUPPORTED',
      'a shared network needs the program nft, which is not there',
      {
        hint: 'apt-get install nftables (dnf, apk and pacman have it by that name, too), or do without a way out: --mode host',
        cause: error,
      },
    )
  }
  const reason = stderr.split('\n').find(line => line.trim() !== '') ?? error.message
  if (/Operation not permitted|Permission denied/.test(stderr)) {
    return new BridgeError('ERR_NAT', `nft may not set up the way out: ${reason}`, {
      hint: 'start it as root (CAP_NET_ADMIN), or do without a way out: --mode host',
      cause: error,
    })
  }
  // What a kernel without the modules says, of the rule that it is asked for.
  if (/No such file or directory|not supported/.test(stderr)) {
    return new BridgeError('ERR_NAT_UNSUPPORTED', `this kernel has no NAT by nftables: ${reason}`, {
      hint: 'modprobe -a nf_tables nft_chain_nat nft_masq nft_ct, or do without a way out: --mode host',
      cause: error,
    })
  }
  return new BridgeError('ERR_NAT', `nft did not set up the way out: ${reason}`, {
    hint: 'see what is there: nft list ruleset',
    cause: error,
  })
}

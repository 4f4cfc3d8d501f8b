/**
 * Errors of the daemon in the words of socket_vmnet's command line: its options have names of their own.
 */

import type { BridgeError } from '../errors.js'

/** A path that somebody has, or that is no socket, is what bind(2) says of it: Homebrew's formula looks for that. */
const IN_USE = new Set(['ERR_SOCKET_IN_USE', 'ERR_NOT_A_SOCKET'])

/** Of `vmbridge daemon`, and what stands for it here. */
const OPTION_WORDS: [RegExp, string][] = [
  [/--gateway, such as ([\d.]+)\/\d+/g, '--vmnet-gateway, such as $1'],
  [/--(gateway|dhcp-end|interface|nat66-prefix|mode)\b/g, '--vmnet-$1'],
  [/--network-id\b/g, '--vmnet-network-identifier'],
  [/ with --socket( and --control)?(?!-)/g, ' as SOCKET'],
  [/, or serve the VMs among themselves with --uplink none/g, ''],
]
/** What socket_vmnet has no word for: a hint that needs one is of no use. */
const UNKNOWN = /--(?!vmnet-|socket-group|pidfile|user\b|cap-add|device|last|predicate)[a-z]/
/** Hints that would be wrong here, by the error's code. */
const HINTS: Record<string, string> = {
  ERR_VMNET_TOO_OLD:
    'leave --vmnet-disable-dhcp out, or use --vmnet-mode=host with --vmnet-network-identifier',
}

/** What happened and, where there is something, what to do about it. */
export function inSocketVmnetWords({ code, message, hint }: BridgeError): { text: string; hint?: string } {
  const said = translate(message)
  const text = IN_USE.has(code) ? `bind: Address already in use: ${said}` : said
  const words = HINTS[code] ?? (hint === undefined ? undefined : translate(hint))
  return words === undefined || UNKNOWN.test(words) ? { text } : { text, hint: words }
}

function translate(text: string): string {
  return OPTION_WORDS.reduce((words, [ours, theirs]) => words.replace(ours, theirs), text)
}

/**
 * Text for a shell: what is printed to be pasted must mean what it says.
 */

/** `text` as one word of a POSIX shell, quoted only where it must be. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

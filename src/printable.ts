/**
 * Text that strangers had a hand in (a host's name, a program's), for a terminal.
 */

/** `text` without what a terminal would obey: control characters but for the newline become question marks. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- that is what is looked for
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '?')
}

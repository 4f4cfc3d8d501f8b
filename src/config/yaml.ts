/**
 * YAML with the places of what it says, for files that people write: vmbridge.yaml, and Lima's networks.yaml.
 */

import { LineCounter, parseDocument, type Document, type ParseOptions, type SchemaOptions } from 'yaml'

/** Both from 1. */
export interface Place {
  line: number
  /** UTF-16 code units, as editors count. */
  column: number
}

export interface YamlText {
  document: Document
  /** What is wrong with it as YAML, in the order of the text. */
  errors: { message: string; at: number }[]
  /** Where an offset of the text stands. */
  placeOf: (at: number) => Place
}

/** Never throws: what is nested deeper than the stack is an error like any other. */
export function readYaml(text: string, options: ParseOptions & SchemaOptions = {}): YamlText {
  const lines = new LineCounter()
  const document = parseDocument(text, { ...options, lineCounter: lines, prettyErrors: false })
  const errors = document.errors.map(({ message, pos }) => ({
    message: /call stack/.test(message) ? 'it is nested too deeply' : message,
    at: pos[0],
  }))
  return {
    document,
    errors: errors.sort((one, other) => one.at - other.at),
    placeOf: at => {
      const { line, col } = lines.linePos(at)
      return line === 0 ? { line: 1, column: 1 } : { line, column: col }
    },
  }
}

/** The offset at which a node stands; undefined where it has none. */
export const startOf = (node: unknown): number | undefined =>
  (node as { range?: readonly number[] | null } | null | undefined)?.range?.[0]

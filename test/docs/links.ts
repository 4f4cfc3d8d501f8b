// Where the links of a page under docs/ lead: to a file of this repository, or to a heading of the page itself.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../helpers/root.js'

/** The targets of the links that lead nowhere. @param prose the page without its code */
export function deadLinks(prose: string): string[] {
  const headings = [...prose.matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  )
  const targets = [...prose.matchAll(/\]\((?!https:)([^)]+)\)/g)].map(([, target]) => target)
  return targets.filter(target => {
    const [file, anchor] = target.split('#')
    return file === '' ? !headings.includes(anchor) : !existsSync(join(ROOT, 'docs', file))
  })
}

/** Lines no wider than a terminal: one that wraps is two, and cannot be drawn again in its place. Pure. */
import { textWidth } from './terminal-text.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours; data cannot hold them any more
const COLOUR = /(\u001b\[[0-9;]*m)/
const PLAIN = '\u001b[0m'

/** @param line Safe, with our own colours in it at most. */
export function fitLine(line: string, columns: number, ellipsis: string): string {
  const parts = line.split(COLOUR)
  // Every second part is a colour.
  const width = parts.reduce((sum, part, at) => sum + (at % 2 === 0 ? textWidth(part) : 0), 0)
  if (width <= columns) return line
  let left = Math.max(0, columns - textWidth(ellipsis))
  let fitted = ''
  for (const [at, part] of parts.entries()) {
    if (at % 2 === 1) {
      fitted += part
      continue
    }
    for (const character of part) {
      const taken = textWidth(character)
      if (taken > left) return `${fitted}${ellipsis}${parts.length > 1 ? PLAIN : ''}`
      left -= taken
      fitted += character
    }
  }
  return fitted
}

/** Text without marks: paragraphs are what blank lines part. */
import type { Outline } from './outline.ts'

export function readPlainText(text: string, outline: Outline): void {
  for (const paragraph of text.split(/\n(?:[ \t]*\n)+/)) outline.block('text', paragraph.trim())
}

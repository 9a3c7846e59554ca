/** What the text of a token means. */
import { DURATION_UNITS, SIZE_UNITS } from '../token.ts'

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  '"': '"',
}

/** @param text With its quotes; the last one may be missing. Unknown escapes keep their backslash. */
export function stringValue(text: string): string {
  const isClosed = text.length > 1 && text.endsWith(text.charAt(0))
  const inner = text.slice(1, isClosed ? -1 : undefined)
  if (!inner.includes('\\')) return inner
  return inner.replace(/\\(?:u([0-9a-fA-F]{4})|([ntr"\\]))/g, (_, hex?: string, letter?: string) =>
    hex === undefined
      ? (ESCAPES[letter ?? ''] ?? '')
      : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

export function numberValue(text: string): number {
  const value = Number.parseFloat(text.replaceAll('_', ''))
  return Number.isFinite(value) ? value : Number.MAX_VALUE
}

export function durationValue(text: string): number {
  return withUnit(text, DURATION_UNITS)
}

export function sizeValue(text: string): number {
  return withUnit(text, SIZE_UNITS)
}

function withUnit(text: string, units: Readonly<Record<string, number>>): number {
  const at = text.search(/[^0-9_]/)
  return numberValue(text.slice(0, at)) * (units[text.slice(at)] ?? 1)
}

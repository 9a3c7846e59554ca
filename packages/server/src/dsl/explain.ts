/** What is wrong, for people at a terminal, and in the words of the wire. Nothing in a source moves their cursor. */
import type { Diagnostic, DiagnosticCode } from './diagnostic.ts'

const TAB = 4
const MAX_WIDTH = 120

/** As in `diagnostics` of an answer of `dsl/compile`. */
export interface WireDiagnostic {
  readonly severity: 'error' | 'warning'
  readonly code: DiagnosticCode
  readonly message: string
  readonly start_line: number
  readonly start_col: number
  readonly end_line: number
  readonly end_col: number
  /** The line of the source. */
  readonly snippet: string
  readonly hint: string | null
}

export function wireDiagnostic(found: Diagnostic, source: string): WireDiagnostic {
  const { severity, code, message, span, hint } = found
  return {
    severity,
    code,
    message,
    start_line: span.start.line,
    start_col: span.start.column,
    end_line: span.end.line,
    end_col: span.end.column,
    // A line may hold the secret that the message is about.
    snippet:
      code === 'E_SECRET_LITERAL' ? '' : lineAt(source, span.start.offset).text.slice(0, 200),
    hint: hint ?? null,
  }
}

/** `file:line:col`, the line, a caret below what is meant, and what to write instead. */
export function explain(found: Diagnostic, source: string, file: string): string {
  const { severity, code, message, span, hint } = found
  const head = `${safe(file)}:${span.start.line}:${span.start.column}: ${severity} ${code}: ${safe(message)}`
  const lines = [head]
  if (code !== 'E_SECRET_LITERAL') lines.push(...pointed(found, source))
  if (hint !== undefined) lines.push(`  hint: ${safe(hint)}`)
  return lines.join('\n')
}

function pointed({ span }: Diagnostic, source: string): readonly string[] {
  const { text, from } = lineAt(source, span.start.offset)
  const at = span.start.offset - from
  const to = span.end.line === span.start.line ? span.end.offset - from : text.length
  // Of a long line the part before the place is cut off, so that the place is seen.
  const cut = width(text.slice(0, at)) > MAX_WIDTH - 20 ? Math.max(0, at - 40) : 0
  const shown = cells(text.slice(cut, cut + MAX_WIDTH * 2), MAX_WIDTH)
  const before = width(text.slice(cut, at))
  const length = Math.max(1, Math.min(width(text.slice(at, to)), MAX_WIDTH - before))
  const number = String(span.start.line)
  const gap = ' '.repeat(number.length)
  return [`${number} | ${shown}`, `${gap} | ${' '.repeat(before)}${'^'.repeat(length)}`]
}

function lineAt(source: string, offset: number): { text: string; from: number } {
  const from = offset === 0 ? 0 : source.lastIndexOf('\n', offset - 1) + 1
  const end = source.indexOf('\n', offset)
  return { text: source.slice(from, end === -1 ? undefined : end).replace(/\r$/, ''), from }
}

function cells(text: string, most: number): string {
  let shown = ''
  let used = 0
  for (const letter of text) {
    const one = cell(letter)
    used += width(letter)
    if (used > most) return `${shown}…`
    shown += one
  }
  return shown
}

/** What stands for a character on a terminal: spaces for a tab, a box for what is not shown. */
function cell(letter: string): string {
  if (letter === '\t') return ' '.repeat(TAB)
  return /^[\p{C}\p{Zl}\p{Zp}]$/u.test(letter) ? '\ufffd' : letter
}

function safe(text: string): string {
  return [...text].map((letter) => (letter === '\t' ? ' ' : cell(letter))).join('')
}

/** Columns on a terminal; wide characters take two, marks none. */
function width(text: string): number {
  let columns = 0
  for (const letter of text) {
    if (letter === '\t') columns += TAB
    else if (/^\p{M}$/u.test(letter)) columns += 0
    else
      columns +=
        /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u.test(
          letter,
        )
          ? 2
          : 1
  }
  return columns
}

/** Text that was encoded inside a text, put back in its place: base64, hex, percent, HTML entities, escapes. */

/** Shorter runs are names, digests' beginnings and words. */
const MIN_RUN = 24

const BASE64 = /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,}={0,2}/g
const HEX = /(?<![0-9a-z])(?:0x)?(?:[0-9a-f]{2}){12,}(?![0-9a-z])/gi
const SPACED_HEX = /(?<![0-9a-z])(?:[0-9a-f]{2}[ :,]){11,}[0-9a-f]{2}(?![0-9a-z])/gi
const PERCENT = /(?:%[0-9a-f]{2})+/gi
const ESCAPES = /(?:\\u\{?[0-9a-f]{4,6}\}?|\\x[0-9a-f]{2}){2,}/gi
const ENTITY =
  /&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos|nbsp|colon|lpar|rpar|period|sol));?/gi

const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  colon: ':',
  lpar: '(',
  rpar: ')',
  period: '.',
  sol: '/',
}

/** One layer taken off. What decodes to something else than readable text stays as it is. */
export function decoded(text: string): string {
  let out = text
  if (out.includes('&')) out = out.replace(ENTITY, entity)
  if (out.includes('%')) out = out.replace(PERCENT, percent)
  if (out.includes('\\')) out = out.replace(ESCAPES, escapes)
  out = out.replace(
    SPACED_HEX,
    (run) => readable(Buffer.from(run.replace(/[ :,]/g, ''), 'hex')) ?? run,
  )
  // Hex first: all of it would be base64 too.
  out = out.replace(HEX, (run) => readable(Buffer.from(run.replace(/^0x/i, ''), 'hex')) ?? run)
  return out.replace(BASE64, (run) => base64(run) ?? run)
}

/** Runs in base64 or hex of at least `min` characters, and what they say if that can be read. */
export function encodedRuns(
  text: string,
  min: number,
): { run: string; says: string | undefined }[] {
  const found: { run: string; says: string | undefined }[] = []
  const hex = text.replace(HEX, (run) => {
    if (run.length >= min) {
      found.push({ run, says: readable(Buffer.from(run.replace(/^0x/i, ''), 'hex')) })
    }
    return ' '
  })
  for (const [run] of hex.matchAll(BASE64)) {
    if (run.length >= min) found.push({ run, says: base64(run) })
  }
  return found
}

function entity(whole: string, hex?: string, decimal?: string, name?: string): string {
  if (name !== undefined) return NAMED[name.toLowerCase()] ?? whole
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole
}

function percent(run: string): string {
  const bytes = run.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return readable(Buffer.from(bytes, 'latin1')) ?? run
}

function escapes(run: string): string {
  return run.replace(
    /\\(?:u\{?([0-9a-f]{4,6})\}?|x([0-9a-f]{2}))/gi,
    (whole, u?: string, x?: string) => {
      const code = Number.parseInt(u ?? x ?? '', 16)
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole
    },
  )
}

function base64(run: string): string | undefined {
  if (run.replace(/=+$/, '').length < MIN_RUN) return undefined
  return readable(Buffer.from(run, 'base64'))
}

/** The bytes as text, if a person would call them text: UTF-8, or UTF-16 as PowerShell encodes its commands. */
function readable(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return undefined
  const wide = bytes.length >= 8 && bytes[1] === 0 && bytes[3] === 0 && bytes[5] === 0
  const text = bytes.toString(wide ? 'utf16le' : 'utf8')
  let odd = 0
  for (const letter of text) {
    // U+FFFD stands for bytes that are no UTF-8.
    if (letter === '\ufffd' || (letter < ' ' && !'\t\n\r'.includes(letter)) || letter === '\u007f')
      odd += 1
  }
  return odd * 20 > text.length ? undefined : text
}

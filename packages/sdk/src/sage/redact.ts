/**
 * Takes credentials out of text and values before a person or a log sees them. The net below the
 * types that print masked: it knows shapes, so it also catches what a server echoes.
 */

/** Stands where a credential stood. */
export const REDACTED = '[secret]'

/** Longest foreign body that an error message repeats. */
const MAX_FOREIGN_BYTES = 2048

/** Foreign text is cut here before it is searched: a reply may have 64 MiB, its message keeps 2 KiB. */
const MAX_SEARCHED_CHARACTERS = 65_536

const MAX_DEPTH = 8
const MAX_ITEMS = 1000
/** In all: what is held in many places is copied in each. */
const MAX_VALUES = 50_000

/**
 * A compact JWT, also one that was cut short; bearer credentials; provider keys; private keys.
 * Every pattern is linear in the length of the text.
 */
const SHAPES: readonly (readonly [RegExp, string])[] = [
  [
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
    REDACTED,
  ],
  [/eyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g, REDACTED],
  [/\b(bearer)\s+[^\s"',;<>]+/gi, `$1 ${REDACTED}`],
  [/\bsk-[\w-]{12,}/g, REDACTED],
  [/\bAIza[\w-]{20,}/g, REDACTED],
  [/\b(?:ya29|AQ)\.[\w-]{16,}/g, REDACTED],
  [/\b(?:gsk_|xai-|hf_|pplx-|r8_|gh[pousr]_|github_pat_|AKIA|ASIA)\w{12,}/g, REDACTED],
]

/** What may be a piece of a token: its payload or its signature alone, or half of it. */
const PIECE = /[\w.-]{16,}/g

/** @param secrets Values known to be secret, whatever their shape; short ones would blot out text. */
export function redact(text: string, secrets: Iterable<string> = []): string {
  const known = [...secrets].filter(({ length }) => length >= 8)
  let clean = text
  for (const secret of known) clean = clean.replaceAll(secret, REDACTED)
  if (known.length > 0)
    clean = clean.replace(PIECE, (piece) =>
      known.some((secret) => secret.includes(piece)) ? REDACTED : piece,
    )
  for (const [shape, marker] of SHAPES) clean = clean.replace(shape, marker)
  return clean
}

/** Text of another party for an error message: redacted first, then cut to 2 KiB. */
export function foreignText(text: string, secrets: Iterable<string> = []): string {
  const clean = redact(text.slice(0, MAX_SEARCHED_CHARACTERS), secrets)
  const bytes = Buffer.from(clean)
  if (bytes.length <= MAX_FOREIGN_BYTES) return clean
  // A character that was cut in half decodes as replacement characters.
  return `${bytes
    .subarray(0, MAX_FOREIGN_BYTES)
    .toString()
    .replace(/\ufffd+$/, '')}…`
}

/**
 * A copy that JSON can hold, without credentials: errors become plain objects with their causes,
 * cycles, what lies too deep and what is too much become text. Never throws.
 */
export function redactValue(value: unknown): unknown {
  return copy(value, { above: [], left: { values: MAX_VALUES } })
}

/** Where the copying is. */
interface Place {
  readonly above: readonly object[]
  readonly left: { values: number }
}

function copy(value: unknown, place: Place): unknown {
  place.left.values -= 1
  if (typeof value === 'string') return redact(value)
  if (value === null || typeof value === 'boolean' || value === undefined) return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value !== 'object') return redact(String(value))
  const { above, left } = place
  if (above.includes(value)) return '[circular]'
  if (above.length >= MAX_DEPTH) return '[too deep]'
  if (left.values < 0) return '[too much]'
  try {
    return copyObject(value, { above: [...above, value], left })
  } catch {
    return '[unreadable]'
  }
}

function copyObject(value: object, inside: Place): unknown {
  if (value instanceof Error) return copyError(value, inside)
  if ('toJSON' in value && typeof value.toJSON === 'function') return copy(value.toJSON(), inside)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Set) return copyObject([...value], inside)
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => copy(item, inside))
  const entries = value instanceof Map ? [...value.entries()] : Object.entries(value)
  return Object.fromEntries(
    entries.slice(0, MAX_ITEMS).map(([key, item]) => [redact(String(key)), copy(item, inside)]),
  )
}

function copyError(error: Error, inside: Place): Record<string, unknown> {
  const { name, message, cause } = error
  return {
    name: redact(name),
    message: redact(message),
    ...(cause !== undefined && { cause: copy(cause, inside) }),
  }
}

/** Idempotency keys: put into the parameters of a call, they make the gateway execute it once. */
import { createHash, randomUUID } from 'node:crypto'

/** How the data of a key is written before it is hashed: as JavaScript or as Python clients do. */
export type IdempotencyKeyForm = 'javascript' | 'python'

/** `idemp_<epoch ms>_<uuid>`: a new key for a new effect. Keep it to repeat that effect's call. */
export function generateIdempotencyKey(nowMs: number = Date.now()): string {
  return `idemp_${nowMs}_${randomUUID()}`
}

/**
 * `idemp_<16 hex digits>` of the SHA-256 of `{tool, action, params}`: equal data, equal key.
 *
 * @param form `javascript` (default) hashes compact JSON with members in the order they were added;
 *   `python` hashes what Python's sorted `json.dumps` writes, so that a Python agent gets the same key
 *   (strings, booleans, null and whole numbers; the two languages write fractions differently).
 */
export function generateIdempotencyKeyFromData(
  tool: string,
  action: string,
  params: Readonly<Record<string, unknown>>,
  form: IdempotencyKeyForm = 'javascript',
): string {
  const compact = JSON.stringify({ tool, action, params })
  const text = form === 'python' ? pythonJson(JSON.parse(compact)) : compact
  return `idemp_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
}

/** `json.dumps(value, sort_keys=True)`: a space after `,` and `:`, and ASCII only. */
function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  if (typeof value !== 'object' || value === null) return ascii(JSON.stringify(value))
  const members = Object.entries(value)
    // Python orders by code point, which is the order of the UTF-8 bytes and not of UTF-16 units.
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([key, member]) => `${ascii(JSON.stringify(key))}: ${pythonJson(member)}`)
  return `{${members.join(', ')}}`
}

function ascii(json: string): string {
  return json.replaceAll(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Reading a compact JWT without proving it: only the server that accepts it can do that. */
import { parseObject } from '../llm/providers/json.ts'

const PART = /^[\w-]+$/

/**
 * The payload of a token whose header and payload are base64url of JSON objects; undefined for
 * anything else, a JSON text that merely has two dots included.
 */
export function jwtPayload(token: string): Record<string, unknown> | undefined {
  const [header, payload, signature, ...rest] = token.split('.')
  if (header === undefined || payload === undefined || signature === undefined) return undefined
  if (rest.length > 0 || (signature !== '' && !PART.test(signature))) return undefined
  return jsonPart(header) === undefined ? undefined : jsonPart(payload)
}

function jsonPart(part: string): Record<string, unknown> | undefined {
  if (!PART.test(part)) return undefined
  return parseObject(Buffer.from(part, 'base64url').toString('utf8'))
}

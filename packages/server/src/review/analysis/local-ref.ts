/** References within a schema document (JSON Schema 2020-12 §8.2). */
import { isTokenObject, type TokenJson, type TokenObject } from '../../json/raw-number.ts'
import { isList } from './schema-walk.ts'

/** Chains of references are followed this far. */
const MAX_HOPS = 8

/**
 * @param reference `#`, or a JSON pointer in a fragment: `#/$defs/name`.
 * @returns What stands there, `undefined` if nothing does.
 */
export function pointed(root: TokenObject, reference: string): TokenJson | undefined {
  let at: TokenJson | undefined = root
  for (const part of reference.split('/').slice(1)) {
    const name = unescaped(part)
    if (isTokenObject(at)) at = Object.hasOwn(at, name) ? at[name] : undefined
    else if (isList(at)) at = /^\d{1,9}$/.test(name) ? at[Number(name)] : undefined
    else return undefined
  }
  return at
}

/** The schema that is meant: where it is nothing but a local reference, its end. */
export function dereferenced(root: TokenObject, schema: TokenObject): TokenObject {
  let at = schema
  for (let hop = 0; hop < MAX_HOPS; hop += 1) {
    const reference: TokenJson | undefined = at['$ref']
    if (typeof reference !== 'string' || !reference.startsWith('#')) return at
    const next = pointed(root, reference)
    if (!isTokenObject(next)) return at
    at = next
  }
  return at
}

function unescaped(part: string): string {
  let name = part
  try {
    name = decodeURIComponent(part)
  } catch {
    // Not percent-encoded after all.
  }
  return name.replaceAll('~1', '/').replaceAll('~0', '~')
}

/** Ids in paths: escaped, so that none of them reaches another route. */
import { SymbiontError } from './errors.ts'

/**
 * One segment of a path.
 *
 * @throws SymbiontError `INVALID_REQUEST` for what no path can carry.
 */
export function id(text: string): string {
  if (typeof text === 'string' && text !== '' && text !== '.' && text !== '..') {
    try {
      return encodeURIComponent(text)
    } catch {
      // Half of a surrogate pair.
    }
  }
  throw new SymbiontError('An id must be well-formed text, and neither empty nor dots', {
    code: 'INVALID_REQUEST',
  })
}

/** Names of secrets keep their slashes. */
export function segments(name: string): string {
  return typeof name === 'string' ? name.split('/').map(id).join('/') : id(name)
}

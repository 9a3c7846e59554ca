/**
 * The one token of installations that have no keys yet (environment variable `SYMBIONT_API_TOKEN`). It counts only
 * while the key that was made on first start is the only one: whoever makes keys has something better.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { type ApiKey, FIRST_KEY_NAME } from '../../identity/api-key.ts'

const MIN_CHARS = 16

export interface StaticToken {
  /** Whether `token` is it, and it counts. */
  accepts(token: string): Promise<boolean>
  /** Keys were added or revoked, or the vault was sealed. */
  drop(): void
}

/** @param text Undefined or empty: there is none. */
export function staticToken(
  text: string | undefined,
  keys: () => Promise<readonly ApiKey[]>,
  warn: (line: string) => void,
): StaticToken | undefined {
  if (text === undefined || text === '') return undefined
  if (text.length < MIN_CHARS) {
    warn(`SYMBIONT_API_TOKEN is not used: it has fewer than ${MIN_CHARS} characters`)
    return undefined
  }
  const wanted = digest(text)
  let counts: Promise<boolean> | undefined
  return {
    accepts: async (token) => {
      const matches = timingSafeEqual(digest(token), wanted)
      if (counts === undefined) {
        const asked = keys().then((all) => all.every(({ name }) => name === FIRST_KEY_NAME))
        counts = asked
        asked.catch(() => {
          if (counts === asked) counts = undefined
        })
      }
      return (await counts) && matches
    },
    drop: () => {
      counts = undefined
    },
  }
}

/** Of equal length whatever was given. */
function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

/** TXT records of a name, asked of the system's resolvers once and for a short time. */
import { Resolver } from 'node:dns/promises'

/** The texts of all records; an empty list when there are none, or when nobody could say. */
export type TxtLookup = (name: string) => Promise<readonly string[]>

const TIMEOUT_MS = 2_000

export const systemTxt: TxtLookup = async (name) => {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 })
  const timer = setTimeout(() => resolver.cancel(), TIMEOUT_MS)
  try {
    return (await resolver.resolveTxt(name)).map((parts) => parts.join(''))
  } catch {
    return []
  } finally {
    clearTimeout(timer)
  }
}

/** Which intent a call has, and whether it contradicts itself (gateway contract R-41). Pure. */
import { VestryError } from '@vestry/contract/errors'

export interface Intent {
  readonly intent: string | undefined
  /** Two places name different ones. */
  readonly conflict: boolean
}

/** @throws VestryError INVALID_FIELD for an intent that is no text of 1 to 128 characters. */
export function effectiveIntent(given: {
  body: unknown
  header: string | undefined
  params: unknown
  token: string | undefined
}): Intent {
  const named = [given.body, given.header, given.params].filter(
    (value) => value !== undefined && value !== null && value !== '',
  )
  for (const value of named) {
    if (typeof value === 'string' && value.length <= 128 && value.isWellFormed()) continue
    throw new VestryError('INVALID_FIELD', 'intent: expected text of 1 to 128 characters')
  }
  const texts = named as string[] // all of them, by the loop above
  return { intent: texts[0] ?? given.token, conflict: new Set(texts).size > 1 }
}

/** Which secrets sign and verify tokens: those an operator gave, else the one that is sealed with the vault. */
import { VestryError } from '@vestry/contract/errors'
import type { TokenSecret } from './token-codec.ts'

export interface GivenSecrets {
  /** Replaces the sealed secret as the one that signs, e.g. while moving here from another gateway. */
  readonly current?: string
  /** Accepted for verification only. */
  readonly previous?: readonly string[]
}

const MIN_CHARS = 32
/** Printed in the source of the gateway that these clients were made for. */
const PUBLISHED = 'default-secret-change-in-production'

/**
 * @param sealed Generated and kept in the keyring, so there is always one.
 * @param production Short secrets are refused; the published one always is.
 * @returns The one that signs comes first.
 * @throws VestryError `CONFIG_INVALID`, which does not show the secret.
 */
export function tokenSecrets(
  { current, previous = [] }: GivenSecrets,
  { sealed, production }: { sealed: TokenSecret; production: boolean },
): readonly TokenSecret[] {
  const given = (current === undefined ? previous : [current, ...previous]).map((text) => {
    if (text === PUBLISHED) throw refused('is published and protects nothing')
    if (text === '') throw refused('is empty')
    if (production && text.length < MIN_CHARS)
      throw refused(`has fewer than ${MIN_CHARS} characters`)
    return Buffer.from(text)
  })
  // The sealed one stays accepted, so that setting a secret ends no token that is in use.
  return current === undefined ? [sealed, ...given] : [...given, sealed]
}

function refused(why: string): VestryError {
  return new VestryError('CONFIG_INVALID', `A signing secret ${why}`, {
    hint: 'Leave it out to use the generated one, or give at least 32 random characters.',
  })
}

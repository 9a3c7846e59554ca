/** The secret of clients' own tokens: a credential of the vault, which operators may not have made yet, or made too short. */
import { asVestryError } from '@vestry/contract/errors'
import type { Secret } from '../../seal/secret.ts'

/** RFC 7518 §3.2: as long as the hash. What is shorter can be guessed from one token. */
const MIN_BYTES = 32

/**
 * @param open Of the credential at `path`.
 * @returns Asked at each use; undefined where no token can be good. The caller disposes the secret.
 */
export function clientSecret(
  path: string,
  open: () => Promise<Secret>,
  warn: (line: string) => void,
): () => Promise<Secret | undefined> {
  let said: string | undefined
  const unusable = (why: string): undefined => {
    if (said !== why) warn(`runtime.jwt_secret: ${path} ${why}, so tokens of clients are refused`)
    said = why
  }
  return async () => {
    let secret: Secret
    try {
      secret = await open()
    } catch (error) {
      if (asVestryError(error).code !== 'CREDENTIAL_NOT_FOUND') throw error
      return unusable('is no credential of the vault')
    }
    if (secret.bytes.length < MIN_BYTES) {
      secret[Symbol.dispose]()
      return unusable(`has fewer than ${MIN_BYTES} bytes`)
    }
    said = undefined
    return secret
  }
}

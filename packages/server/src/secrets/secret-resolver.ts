/** References to secrets, made good at the moment of use. Nobody gets at the secrets of somebody else this way. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Stations } from '../call/perform.ts'
import { assertNotUseOnly, assertPath } from '../vault/credential.ts'
import type { CredentialStore } from '../vault/credential-store.ts'
import { recordedUse } from './access.ts'
import { assertPlace, isOwner } from './place.ts'
import type { SecretResolver } from './resolver.ts'
import type { Secrets } from './secrets.ts'
import { PREFIX } from './vestry/vault-path.ts'

const RESOLVE_MS = 20_000

export function secretResolver(deps: {
  readonly secrets: Secrets
  readonly credentials: CredentialStore
  readonly stations: Pick<Stations, 'audit' | 'now'>
}): SecretResolver {
  const { secrets, credentials, stations } = deps
  return {
    async resolve(reference, owner) {
      const [, scheme, name] = /^(secret|vault):\/\/(.+)$/s.exec(reference) ?? []
      if (scheme === undefined || name === undefined || !isOwner(owner)) {
        throw new VestryError('INVALID_PARAMS', 'This is no reference to a secret', {
          hint: 'Write secret://name for a secret of its own, vault://path for a credential.',
        })
      }
      if (scheme === 'secret') {
        const place = { agent: owner, name }
        assertPlace(place)
        return recordedUse(stations, { owner, name }, async () => {
          const found = await secrets.get(place, AbortSignal.timeout(RESOLVE_MS))
          return found.value
        })
      }
      assertPath(name)
      return recordedUse(stations, { owner, name: reference }, async () => {
        if (name.startsWith(PREFIX) && !name.startsWith(`${PREFIX}${owner}/`)) throw notFound(name)
        const { secret, credential } = await credentials.open(name)
        try {
          assertNotUseOnly(credential, 'resolve')
          return secret
        } catch (error) {
          secret[Symbol.dispose]()
          throw asVestryError(error)
        }
      })
    },
  }
}

/** As for one that does not exist. */
function notFound(path: string): VestryError {
  return new VestryError('CREDENTIAL_NOT_FOUND', `there is no credential '${path}'`, {
    hint: 'List what is available, or ask an operator to add it',
    context: { path, legacy_code: 'NOT_FOUND' },
  })
}

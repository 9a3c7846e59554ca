/**
 * Secrets in our own vault, as credentials under `secrets/<agent>/`: sealed, versioned and backed up with all the
 * others. What the vault has no column for stands in the credential's metadata, which its row MAC covers.
 */
import { asVestryError } from '@vestry/contract/errors'
import type { Secret } from '../../seal/secret.ts'
import type { Store } from '../../store/store.ts'
import { type Credential, CredentialFacts } from '../../vault/credential.ts'
import type { CredentialStore } from '../../vault/credential-store.ts'
import {
  type PutOptions,
  type SecretBackend,
  type SecretFacts,
  type StoredSecret,
  sorted,
  versionConflict,
  type Written,
} from '../backend.ts'
import { assertLive } from '../deadline.ts'
import { isOwner, type SecretPlace } from '../place.ts'
import { nameFacts, PREFIX, placeOf, vaultPath } from './vault-path.ts'

export interface VestryBackendDeps {
  readonly credentials: CredentialStore
  readonly store: Pick<Store, 'db'>
  /** Connections made with the old value are not used again. */
  readonly dropCredential: (path: string) => void
}

/** Writers of other nodes may come first; each try sees what they left. */
const MAX_TRIES = 5
/** Behind all paths that begin with the prefix. */
const END = 'secrets0'
const DEFAULTS = CredentialFacts.parse({})

export class VestryBackend implements SecretBackend {
  readonly type = 'vestry'
  readonly identity = 'vestry'
  readonly #deps: VestryBackendDeps

  constructor(deps: VestryBackendDeps) {
    this.#deps = deps
  }

  async put(place: SecretPlace, value: Secret, options: PutOptions): Promise<Written> {
    for (let tries = 1; ; tries += 1) {
      assertLive(options.signal)
      try {
        return await this.#put(place, value, options)
      } catch (error) {
        const lost = asVestryError(error).code === 'CONFLICT'
        if (!lost || options.expectedVersion !== undefined || tries === MAX_TRIES) throw error
      }
    }
  }

  async #put(place: SecretPlace, value: Secret, options: PutOptions): Promise<Written> {
    const { credentials, dropCredential } = this.#deps
    const { expectedVersion, description, createdBy, origin } = options
    const path = vaultPath(place)
    const before = await credentials.find(path)
    const seen = before === undefined ? 0 : factsOf(before).version
    if (expectedVersion !== undefined && expectedVersion !== seen) throw versionConflict(seen)
    const metadata =
      before === undefined
        ? { ...nameFacts(place), ...beginning(await this.#lastVersion(path), origin) }
        : before.metadata
    const { value: credential } = await credentials.put(
      path,
      value.bytes,
      { description: description ?? null, metadata },
      { createdBy, expectedVersion: before?.version ?? 0 },
      DEFAULTS,
    )
    dropCredential(path)
    return { ...factsOf(credential), created: before === undefined }
  }

  /** Version numbers of a path go on where a deleted credential left them. */
  async #lastVersion(path: string): Promise<number> {
    return (await this.#deps.credentials.show(path))?.credential.version ?? 0
  }

  async get(
    place: SecretPlace,
    _signal: AbortSignal,
    version?: number,
  ): Promise<StoredSecret | undefined> {
    const path = vaultPath(place)
    const current = await this.#deps.credentials.find(path)
    if (current === undefined) return undefined
    const facts = factsOf(current)
    const wanted = version === undefined ? current.version : version - offsetOf(current)
    if (wanted < lifeOf(current) || wanted > current.version) return undefined
    try {
      const { secret } = await this.#deps.credentials.open(path, wanted)
      return { ...facts, version: version ?? facts.version, value: secret }
    } catch (error) {
      if (asVestryError(error).code === 'CREDENTIAL_NOT_FOUND') return undefined
      throw error
    }
  }

  async list(agent: string, signal: AbortSignal): Promise<string[]> {
    const names: string[] = []
    for await (const { path, metadata } of this.#deps.credentials.all({
      prefix: `${PREFIX}${agent}/`,
    })) {
      assertLive(signal)
      const place = placeOf(path, metadata)
      if (place !== undefined) names.push(place.name)
    }
    return sorted(names)
  }

  async delete(place: SecretPlace, signal: AbortSignal): Promise<boolean> {
    assertLive(signal)
    const { credentials, dropCredential } = this.#deps
    const path = vaultPath(place)
    if ((await credentials.find(path)) === undefined) return false
    await credentials.destroy(path)
    dropCredential(path)
    return true
  }

  /** From owner to owner, however many secrets each of them has. */
  async owners(signal: AbortSignal): Promise<string[]> {
    const owners: string[] = []
    for (let after = PREFIX; ; ) {
      assertLive(signal)
      const row = await this.#deps.store.db
        .selectFrom('credential')
        .select('path')
        .where('path', '>', after)
        .where('path', '<', END)
        .where('deleted_at', 'is', null)
        .orderBy('path')
        .limit(1)
        .executeTakeFirst()
      if (row === undefined) return sorted(owners)
      const [, agent = '', name] = row.path.split('/')
      if (name !== undefined && isOwner(agent)) owners.push(agent)
      // '0' follows '/': behind all that the owner has.
      after = name === undefined ? row.path : `${PREFIX}${agent}0`
    }
  }

  async count(signal: AbortSignal): Promise<number> {
    assertLive(signal)
    const row = await this.#deps.store.db
      .selectFrom('credential')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('path', 'like', `${PREFIX}%/%`)
      .where('path', '>', PREFIX)
      .where('path', '<', END)
      .where('deleted_at', 'is', null)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  async probe(): Promise<Record<string, unknown>> {
    await this.#deps.credentials.find(`${PREFIX}probe`)
    return { path_prefix: PREFIX }
  }

  async close(): Promise<void> {}
}

/**
 * Of a secret that begins: at which version of the path, how its own numbers differ from those, and what it brought
 * along.
 */
function beginning(last: number, origin: SecretFacts | undefined): Record<string, string> {
  const life = last + 1
  const first = origin?.version ?? 1
  return {
    life: String(life),
    offset: String(first - life),
    ...(origin !== undefined && { created: String(origin.createdAtMs) }),
    ...(origin?.updatedAtMs !== undefined && { updated: String(origin.updatedAtMs) }),
  }
}

function factsOf(credential: Credential): SecretFacts {
  const { metadata, version, created_at, updated_at, description } = credential
  const brought = numberOf(metadata['updated'])
  return {
    version: version + offsetOf(credential),
    createdAtMs: numberOf(metadata['created']) ?? created_at,
    updatedAtMs: version > lifeOf(credential) ? updated_at : brought,
    description: description ?? undefined,
  }
}

/** An operator may have put a credential here by hand: then it began with version 1. */
function lifeOf({ metadata }: Credential): number {
  return numberOf(metadata['life']) ?? 1
}

function offsetOf({ metadata }: Credential): number {
  return numberOf(metadata['offset']) ?? 0
}

function numberOf(text: string | undefined): number | undefined {
  const number = text === undefined ? Number.NaN : Number(text)
  return Number.isSafeInteger(number) ? number : undefined
}

/**
 * Signing keys on disk, the private ones sealed. A private key is opened for one signature and never leaves here.
 * What a key may sign is decided elsewhere.
 */
import type { KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { RecordKeys } from '../../seal/record.ts'
import type { Store } from '../../store/store.ts'
import { readKeyFiles } from './key-files.ts'
import { readPublicKey } from './public-key.ts'
import { type Profile, signText, verifyText } from './schemapin.ts'
import {
  DEFAULT_KEY,
  keyOf,
  newPrivateKey,
  openPrivateKey,
  publicHalf,
  type RevokeReason,
  type SigningKey,
  type SigningKeyRow,
  sealPrivateKey,
} from './signing-key.ts'

export interface SigningKeyDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Asked at each use, so that a sealed vault answers VAULT_LOCKED here. */
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
}

/** Of keys that nobody named a domain for. */
export interface SigningIdentity {
  readonly domain: string
  readonly developerName: string
}

export class SigningKeys {
  readonly #deps: SigningKeyDeps

  constructor(deps: SigningKeyDeps) {
    this.#deps = deps
  }

  /**
   * The vault is open: takes in key files, and makes the key `default` if there is none.
   *
   * @returns The keys that are new, each with the generation it came with.
   * @throws VestryError `CONFIG_INVALID` for a key file that may not be used, `STORE_CORRUPT`.
   */
  async open(
    identity: SigningIdentity,
    fileDir: string,
  ): Promise<(Changed<SigningKey> & { readonly imported: boolean })[]> {
    const added: (Changed<SigningKey> & { readonly imported: boolean })[] = []
    for (const { id, key } of await readKeyFiles(fileDir)) {
      const made = await this.#addOnce({ id, ...identity }, key)
      if (made !== undefined) added.push({ ...made, imported: true })
      else if ((await this.find(id))?.fingerprint !== publicHalf(key).fingerprint)
        throw new VestryError('CONFIG_INVALID', `${id}.pem is not the signing key "${id}"`, {
          hint: 'A key is never replaced: give the file the name of a new key, and revoke the old one.',
        })
    }
    const made = await this.#addOnce({ id: DEFAULT_KEY, ...identity })
    if (made !== undefined) added.push({ ...made, imported: false })
    return added
  }

  /** @throws VestryError `ALREADY_EXISTS` */
  async add(
    given: SigningIdentity & { readonly id: string },
    privateKey: KeyObject = newPrivateKey(),
  ): Promise<Changed<SigningKey>> {
    const { store, guard, keys, now } = this.#deps
    const { id, domain, developerName } = given
    const { pem, fingerprint } = publicHalf(privateKey)
    const row = {
      id,
      domain,
      developer_name: developerName,
      public_key_pem: pem,
      fingerprint,
      private_key: sealPrivateKey(keys(), id, privateKey),
      status: 'active' as const,
      revoked_at: null,
      revoked_reason: null,
      created_at: now(),
    }
    return store.change(async (trx) => {
      const taken = await trx
        .selectFrom('signing_key')
        .select('id')
        .where('id', '=', id)
        .executeTakeFirst()
      if (taken !== undefined)
        throw new VestryError('ALREADY_EXISTS', `There is a signing key "${id}" already`, {
          hint: 'Choose another id; revoked keys keep theirs.',
        })
      const mac = guard.mac('signing_key', id, row)
      await trx
        .insertInto('signing_key')
        .values({ ...row, mac })
        .execute()
      return keyOf({ ...row, mac })
    })
  }

  /** Oldest first. @throws VestryError `STORE_CORRUPT` when a row is not the one that was written. */
  async list(): Promise<SigningKey[]> {
    const rows = await this.#deps.store.db
      .selectFrom('signing_key')
      .selectAll()
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    return rows.map((row) => keyOf(this.#checked(row)))
  }

  /** @throws VestryError `STORE_CORRUPT` */
  async find(id: string): Promise<SigningKey | undefined> {
    const row = await this.#row(id)
    return row && keyOf(row)
  }

  /** @throws VestryError `SIGNING_KEY_NOT_FOUND`, `STORE_CORRUPT` */
  async named(id: string): Promise<SigningKey> {
    return keyOf(await this.#existing(id))
  }

  /**
   * For good. A key that is revoked already keeps its first time and reason.
   *
   * @throws VestryError `SIGNING_KEY_NOT_FOUND`, `STORE_CORRUPT`
   */
  revoke(id: string, reason: RevokeReason): Promise<Changed<SigningKey>> {
    const { store, guard, now } = this.#deps
    return store.change(async (trx) => {
      const row = await trx
        .selectFrom('signing_key')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      if (row === undefined) throw unknownKey(id)
      const { mac: _mac, ...facts } = this.#checked(row)
      if (facts.status === 'revoked') return keyOf(row)
      const revoked = {
        ...facts,
        status: 'revoked' as const,
        revoked_at: now(),
        revoked_reason: reason,
      }
      const mac = guard.mac('signing_key', id, revoked)
      await trx
        .updateTable('signing_key')
        .set({ ...revoked, mac })
        .where('id', '=', id)
        .execute()
      return keyOf({ ...revoked, mac })
    })
  }

  /**
   * Signs, and looks whether anybody else will find the signature valid.
   *
   * @throws VestryError `SIGNING_KEY_NOT_FOUND`, `INVALID_STATE_TRANSITION` for a revoked key, `SIGNING_FAILED`,
   *   `VAULT_LOCKED`.
   */
  async sign(
    id: string,
    text: string,
    profile: Profile,
  ): Promise<{ readonly key: SigningKey; readonly signature: string }> {
    const row = await this.#existing(id).catch((error: unknown) => {
      throw error instanceof VestryError && error.code === 'STORE_CORRUPT'
        ? failed(id, error)
        : error
    })
    const key = keyOf(row)
    if (key.revoked !== undefined)
      throw new VestryError('INVALID_STATE_TRANSITION', `The signing key "${id}" is revoked`, {
        hint: 'Sign with another key; "vestry tool key list" shows them.',
      })
    const published = readPublicKey(key.publicKeyPem)
    let signature: string
    try {
      signature = signText(text, openPrivateKey(this.#deps.keys(), id, row.private_key), profile)
    } catch (error) {
      if (error instanceof VestryError && error.code === 'VAULT_LOCKED') throw error
      throw failed(id, error)
    }
    const holds = published && verifyText(text, signature, published.key, [profile]) === profile
    if (holds !== true) throw failed(id, new Error('the signature does not verify'))
    return { key, signature }
  }

  /** @returns undefined where there is one of this name, perhaps since a moment ago and of another node. */
  async #addOnce(
    given: SigningIdentity & { readonly id: string },
    privateKey?: KeyObject,
  ): Promise<Changed<SigningKey> | undefined> {
    if ((await this.find(given.id)) !== undefined) return undefined
    try {
      return await this.add(given, privateKey)
    } catch (error) {
      if ((await this.find(given.id)) === undefined) throw error
      return undefined
    }
  }

  async #existing(id: string): Promise<SigningKeyRow> {
    const row = await this.#row(id)
    if (row === undefined) throw unknownKey(id)
    return row
  }

  async #row(id: string): Promise<SigningKeyRow | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('signing_key')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
    return row && this.#checked(row)
  }

  #checked(row: SigningKeyRow): SigningKeyRow {
    const { mac, ...facts } = row
    this.#deps.guard.check('signing_key', row.id, facts, mac)
    return row
  }
}

function unknownKey(id: string): VestryError {
  return new VestryError('SIGNING_KEY_NOT_FOUND', `There is no signing key "${id}"`, {
    hint: 'See "vestry tool key list".',
  })
}

/** The cause stays out of the message: key parsers quote what they read. */
function failed(id: string, cause: unknown): VestryError {
  return new VestryError('SIGNING_FAILED', `The signing key "${id}" could not sign`, { cause })
}

/**
 * Credentials on disk: clear metadata, sealed versions, and a bounded cache of both. Values are
 * opened per use and handed out as {@link Secret}s; none is kept.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Kysely } from 'kysely'
import type { Changed } from '../identity/row-guard.ts'
import type { Keyring } from '../seal/keyring.ts'
import { NONCE_LIMIT } from '../seal/nonce-budget.ts'
import { keepOpen, type OpenedRecord, openRecord, sealRecord } from '../seal/record.ts'
import type { RewrapRows } from '../seal/rewrap.ts'
import type { Secret } from '../seal/secret.ts'
import type { PointRead } from '../store/engine.ts'
import { RecentMap } from '../store/recent-map.ts'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import {
  type Credential,
  type CredentialFacts,
  type CredentialVersion,
  UNDELETE_WITHIN_MS,
} from './credential.ts'
import {
  CREDENTIAL_COLUMNS,
  type CredentialRow,
  openCredential,
  openVersion,
  sealCredential,
  sealVersion,
  VERSION_COLUMNS,
  type VersionRow,
} from './credential-row.ts'

const CACHED_CREDENTIALS = 262_144
/** Data keys kept unwrapped, as handles; sealing and every change drop them. */
const KEPT_HANDLES = 32_768
/** Encryptions are counted on disk in blocks, so that a crash can only over-count. */
const ENCRYPTION_BLOCK = 65_536
const PAGE = 1_000

interface VersionKey {
  readonly path: string
  readonly version: number
}

interface Opened {
  readonly credential: Credential
  readonly record: Uint8Array
}

export interface PutOptions {
  /** Compare-and-set: the version the writer saw; 0 = must not exist. */
  expectedVersion?: number | undefined
  createdBy: string
}

export class CredentialStore implements Disposable {
  readonly #store: Store
  readonly #keys: () => Keyring
  readonly #now: () => number
  readonly #unsubscribe: () => void
  readonly #readCredential: PointRead<CredentialRow>
  readonly #readVersion: PointRead<VersionRow>
  /** Current versions, most recently used last. */
  readonly #cache = new RecentMap<string, Opened>(CACHED_CREDENTIALS)
  /** Credentials that a list read, by path, with the MAC they were verified under. */
  readonly #known = new RecentMap<string, { mac: Uint8Array; credential: Credential }>(
    CACHED_CREDENTIALS,
  )
  readonly #handles = new RecentMap<string, { record: Uint8Array; handle: OpenedRecord }>(
    KEPT_HANDLES,
  )
  readonly #encryptionsLeft = new Map<string, number>()
  /** Raised with each invalidation, so that a read begun before it does not fill the cache after it. */
  #epoch = 0

  constructor(deps: { store: Store; keys: () => Keyring; now: () => number }) {
    this.#store = deps.store
    this.#keys = deps.keys
    this.#now = deps.now
    this.#readCredential = deps.store.pointRead('credential', ['path'], CREDENTIAL_COLUMNS)
    this.#readVersion = deps.store.pointRead(
      'credential_version',
      ['path', 'version'],
      VERSION_COLUMNS,
    )
    this.#unsubscribe = deps.store.onChange((tables) => {
      if (tables.includes('credential') || tables.includes('credential_version')) this.drop()
    })
  }

  /** Metadata of a credential that exists and is not deleted. From the cache without a wait when it can. */
  find(path: string): Credential | undefined | Promise<Credential | undefined> {
    const cached = this.#cache.get(path)
    if (cached !== undefined) return cached.credential
    return this.#load(path).then((opened) => opened?.credential)
  }

  /**
   * @param version Absent: the current one.
   * @returns The value and its version; the caller disposes the secret.
   * @throws VestryError CREDENTIAL_NOT_FOUND when absent, deleted or destroyed; SEAL_BROKEN and
   *   STORE_CORRUPT when the stored bytes were altered.
   */
  async open(
    path: string,
    version?: number,
  ): Promise<{ secret: Secret; version: number; credential: Credential }> {
    const opened = this.#cache.get(path) ?? (await this.#load(path))
    if (opened === undefined || opened.credential.version === 0) throw notFound(path)
    const { credential } = opened
    const wanted = version ?? credential.version
    void this.#keys() // sealed meanwhile: what is cached must not open either
    if (wanted === credential.version && opened.record.length > 0) {
      return { secret: this.#kept(path, opened).open(), version: wanted, credential }
    }
    const record = await this.#versionRecord(credential, wanted)
    if (record === undefined || record.length === 0) throw notFound(path, version)
    const secret = openRecord(this.#keys(), { path, version: wanted }, record)
    return { secret, version: wanted, credential }
  }

  /** The unwrapped data key of a current version, as a handle of the crypto library; never the value. */
  #kept(path: string, { credential: { version }, record }: Opened): OpenedRecord {
    const known = this.#handles.get(path)
    // The very same record: a caller that read before a change must not leave its handle to those after it.
    if (known?.record === record) return known.handle
    const handle = keepOpen(this.#keys(), { path, version }, record)
    this.#handles.set(path, { record, handle })
    return handle
  }

  /** Every living credential by path, a page at a time. */
  async *all({ prefix = '', after = '' } = {}): AsyncGenerator<Credential> {
    let last = after
    for (;;) {
      let query = this.#store.db
        .selectFrom('credential')
        .select(['path', 'mac'])
        .where('path', '>', last)
        .where('deleted_at', 'is', null)
        .orderBy('path')
        .limit(PAGE)
      if (prefix !== '') {
        query = query.where('path', '>=', prefix).where('path', '<', `${prefix}\u{10ffff}`)
      }
      const rows = await query.execute()
      for (const { path, mac } of rows) {
        const known = this.#known.get(path)
        // The MAC stands for the row: what was verified under it need not be read and verified again.
        if (known !== undefined && sameBytes(known.mac, mac)) yield known.credential
        else {
          const credential = await this.#readKnown(path)
          if (credential !== undefined) yield credential
        }
      }
      const final = rows.at(-1)
      if (final === undefined || rows.length < PAGE) return
      last = final.path
    }
  }

  /** One credential for a list, remembered by its MAC. */
  async #readKnown(path: string): Promise<Credential | undefined> {
    const epoch = this.#epoch
    const row = await this.#readCredential(path)
    if (row === undefined || row.deleted_at !== null) return undefined
    const credential = openCredential(row, this.#keys())
    if (epoch === this.#epoch) this.#known.set(path, { mac: row.mac, credential })
    return credential
  }

  /** Deleted ones included; for operators. */
  async show(
    path: string,
  ): Promise<{ credential: Credential; versions: CredentialVersion[] } | undefined> {
    const row = await this.#store.db
      .selectFrom('credential')
      .selectAll()
      .where('path', '=', path)
      .executeTakeFirst()
    if (row === undefined) return undefined
    const versions = await this.#store.db
      .selectFrom('credential_version')
      .selectAll()
      .where('path', '=', path)
      .orderBy('version')
      .execute()
    const keys = this.#keys()
    return {
      credential: openCredential(row, keys),
      versions: versions.map((version) => openVersion(version, keys)),
    }
  }

  /**
   * Writes the next version (or the first). Absent facts keep what is there.
   * @param value Borrowed.
   * @throws VestryError CONFLICT when `expectedVersion` is not the current version.
   */
  async put(
    path: string,
    value: Uint8Array,
    facts: Partial<CredentialFacts>,
    { expectedVersion, createdBy }: PutOptions,
    defaults: CredentialFacts,
  ): Promise<Changed<Credential>> {
    const nowMs = this.#now()
    return this.#change(async (trx, keys) => {
      const before = await readCredential(trx, path, keys)
      const living = before?.deleted_at === null ? before : undefined
      if (expectedVersion !== undefined && expectedVersion !== (living?.version ?? 0)) {
        throw new VestryError('CONFLICT', `'${path}' is at version ${living?.version ?? 0}`, {
          hint: 'Read it again and repeat the change if it still applies',
          context: { path, version: living?.version ?? 0 },
        })
      }
      const version = (before?.version ?? 0) + 1
      const writtenAt = await versionTime(trx, path, living, nowMs)
      const credential: Credential = {
        ...defaults,
        ...living,
        ...facts,
        path,
        version,
        min_decrypt_version: living?.min_decrypt_version ?? 1,
        created_at: living?.created_at ?? writtenAt,
        updated_at: nowMs,
        deleted_at: null,
      }
      const record = sealRecord(keys, { path, version }, value)
      await writeCredential(trx, credential, keys)
      await trx
        .insertInto('credential_version')
        .values(
          sealVersion(
            {
              path,
              version,
              record,
              created_at: writtenAt,
              created_by: createdBy,
              destroyed_at: null,
              encryptions: 0,
            },
            keys,
          ),
        )
        .execute()
      await destroyOldest(trx, credential, keys, nowMs)
      return credential
    })
  }

  /** Changes metadata only. */
  amend(
    path: string,
    facts: Partial<CredentialFacts>,
    minDecryptVersion?: number,
  ): Promise<Changed<Credential>> {
    return this.#update(path, (before) => ({
      ...before,
      ...facts,
      min_decrypt_version: minDecryptVersion ?? before.min_decrypt_version,
      updated_at: this.#now(),
    }))
  }

  /** Soft: `undelete` brings it back for 30 days. */
  remove(path: string): Promise<Changed<Credential>> {
    return this.#update(path, (before) => ({ ...before, deleted_at: this.#now() }))
  }

  undelete(path: string): Promise<Changed<Credential>> {
    return this.#change(async (trx, keys) => {
      const before = await readCredential(trx, path, keys)
      if (before === undefined || before.deleted_at === null) {
        throw new VestryError('NOT_FOUND', `no deleted credential '${path}'`)
      }
      if (this.#now() - before.deleted_at > UNDELETE_WITHIN_MS) {
        throw new VestryError('NOT_FOUND', `'${path}' was deleted more than 30 days ago`)
      }
      const credential = { ...before, deleted_at: null }
      await writeCredential(trx, credential, keys)
      return credential
    })
  }

  /** Final: the wrapped data keys are erased, which makes the values unreadable in every backup of the keys. */
  destroy(path: string, versions?: readonly number[]): Promise<Changed<number[]>> {
    const nowMs = this.#now()
    return this.#change(async (trx, keys) => {
      const before = await readCredential(trx, path, keys)
      if (before === undefined) throw new VestryError('NOT_FOUND', `no credential '${path}'`)
      const rows = await trx
        .selectFrom('credential_version')
        .selectAll()
        .where('path', '=', path)
        .execute()
      const doomed = rows.filter(
        (row) =>
          row.destroyed_at === null && (versions === undefined || versions.includes(row.version)),
      )
      for (const row of doomed) await shred(trx, row, keys, nowMs)
      if (versions === undefined) {
        await writeCredential(trx, { ...before, deleted_at: before.deleted_at ?? nowMs }, keys)
      }
      return doomed.map(({ version }) => version)
    })
  }

  /** Copies an old version to a new number. */
  async rollback(path: string, version: number, createdBy: string): Promise<Changed<Credential>> {
    const { secret, credential } = await this.open(path, version)
    using value = secret
    return await this.put(
      path,
      value.bytes,
      {},
      { createdBy, expectedVersion: credential.version },
      credential,
    )
  }

  /**
   * Counts one encryption with this version.
   * @throws VestryError UNUSABLE_CREDENTIAL at 2^32, where random nonces stop being safe.
   */
  async countEncryption(path: string, version: number): Promise<void> {
    const key = `${path}#${version}`
    const left = this.#encryptionsLeft.get(key) ?? 0
    if (left > 0) {
      this.#encryptionsLeft.set(key, left - 1)
      return
    }
    const total = await this.#store.write(async (trx) => {
      const row = await trx
        .updateTable('credential_version')
        .set((eb) => ({ encryptions: eb('encryptions', '+', ENCRYPTION_BLOCK) }))
        .where('path', '=', path)
        .where('version', '=', version)
        .returning('encryptions')
        .executeTakeFirst()
      return row?.encryptions ?? 0
    })
    if (total > NONCE_LIMIT) {
      throw new VestryError(
        'UNUSABLE_CREDENTIAL',
        'this version has encrypted as often as is safe',
        {
          hint: 'Ask an operator to rotate the credential, then use rewrap',
        },
      )
    }
    this.#encryptionsLeft.set(key, ENCRYPTION_BLOCK - 1)
  }

  /** The versions as rewrap.ts goes through them. A row whose MAC is wrong is never given a new one. */
  rewrapRows(): RewrapRows<VersionKey> {
    return {
      next: async (after, limit) => {
        let query = this.#store.db
          .selectFrom('credential_version')
          .selectAll()
          .where('destroyed_at', 'is', null)
          .orderBy('path')
          .orderBy('version')
          .limit(limit)
        if (after !== undefined) {
          const { path, version } = after
          query = query.where((eb) =>
            eb(eb.refTuple('path', 'version'), '>', eb.tuple(path, version)),
          )
        }
        const keys = this.#keys()
        return (await query.execute()).map((row) => {
          const cursor = { path: row.path, version: row.version }
          return { cursor, place: cursor, record: isAuthentic(row, keys) ? row.record : undefined }
        })
      },
      save: async (moved) => {
        await this.#change(async (trx, keys) => {
          for (const { cursor, before, after } of moved) {
            const row = await trx
              .selectFrom('credential_version')
              .selectAll()
              .where('path', '=', cursor.path)
              .where('version', '=', cursor.version)
              .executeTakeFirst()
            if (row === undefined || Buffer.compare(row.record, before) !== 0) continue
            openVersion(row, keys)
            const { record, mac } = sealVersion({ ...row, record: after }, keys)
            await trx
              .updateTable('credential_version')
              .set({ record, mac })
              .where('path', '=', cursor.path)
              .where('version', '=', cursor.version)
              .execute()
          }
        })
      },
    }
  }

  async count(): Promise<number> {
    const row = await this.#store.db
      .selectFrom('credential')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('deleted_at', 'is', null)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  /** Forgets everything cached, as sealing and changes by other nodes demand. */
  drop(): void {
    this.#epoch += 1
    this.#cache.clear()
    this.#handles.clear()
    this.#known.clear()
    this.#encryptionsLeft.clear()
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
    this.drop()
  }

  async #load(path: string): Promise<Opened | undefined> {
    const epoch = this.#epoch
    const keys = this.#keys()
    const row = await this.#readCredential(path)
    if (row === undefined || row.deleted_at !== null) return undefined
    const credential = openCredential(row, keys)
    const current = await this.#readVersion(path, row.version)
    if (current !== undefined) openVersion(current, keys)
    const opened = { credential, record: current?.record ?? new Uint8Array() }
    if (epoch === this.#epoch) this.#cache.set(path, opened)
    return opened
  }

  async #versionRecord(
    { path, created_at }: Credential,
    version: number,
  ): Promise<Uint8Array | undefined> {
    const row = await this.#readVersion(path, version)
    // Older than the credential: a version of one that was deleted under this path before.
    if (row === undefined || row.created_at < created_at) return undefined
    openVersion(row, this.#keys())
    return row.record
  }

  #update(
    path: string,
    transition: (before: Credential) => Credential,
  ): Promise<Changed<Credential>> {
    return this.#change(async (trx, keys) => {
      const before = await readCredential(trx, path, keys)
      if (before === undefined || before.deleted_at !== null) {
        throw new VestryError('NOT_FOUND', `no credential '${path}'`, {
          hint: 'See "vestry cred list"',
        })
      }
      const credential = transition(before)
      await writeCredential(trx, credential, keys)
      return credential
    })
  }

  async #change<T>(fn: (trx: Kysely<Tables>, keys: Keyring) => Promise<T>): Promise<Changed<T>> {
    const keys = this.#keys()
    const changed = await this.#store.change((trx) => fn(trx, keys))
    this.drop()
    return changed
  }
}

/**
 * When a version was written, such that it tells the lives of a path apart whatever the clock does: never
 * before the credential it belongs to, and always after every version of one deleted earlier.
 */
async function versionTime(
  trx: Kysely<Tables>,
  path: string,
  living: Credential | undefined,
  nowMs: number,
): Promise<number> {
  if (living !== undefined) return Math.max(nowMs, living.created_at)
  const newest = await trx
    .selectFrom('credential_version')
    .select('created_at')
    .where('path', '=', path)
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return Math.max(nowMs, (newest?.created_at ?? 0) + 1)
}

async function readCredential(
  trx: Kysely<Tables>,
  path: string,
  keys: Keyring,
): Promise<Credential | undefined> {
  const row = await trx
    .selectFrom('credential')
    .selectAll()
    .where('path', '=', path)
    .executeTakeFirst()
  return row === undefined ? undefined : openCredential(row, keys)
}

async function writeCredential(
  trx: Kysely<Tables>,
  credential: Credential,
  keys: Keyring,
): Promise<void> {
  const { path, ...rest } = sealCredential(credential, keys)
  await trx
    .insertInto('credential')
    .values({ path, ...rest })
    .onConflict((conflict) => conflict.column('path').doUpdateSet(rest))
    .execute()
}

function isAuthentic(row: VersionRow, keys: Keyring): boolean {
  try {
    openVersion(row, keys)
    return true
  } catch (error) {
    if (asVestryError(error).code === 'STORE_CORRUPT') return false
    throw error
  }
}

async function destroyOldest(
  trx: Kysely<Tables>,
  { path, settings }: Credential,
  keys: Keyring,
  nowMs: number,
): Promise<void> {
  const rows = await trx
    .selectFrom('credential_version')
    .selectAll()
    .where('path', '=', path)
    .where('destroyed_at', 'is', null)
    .orderBy('version', 'desc')
    .offset(settings.keep_versions)
    .limit(1_000)
    .execute()
  for (const row of rows) await shred(trx, row, keys, nowMs)
}

async function shred(
  trx: Kysely<Tables>,
  row: Parameters<typeof sealVersion>[0],
  keys: Keyring,
  nowMs: number,
): Promise<void> {
  const { record, destroyed_at, mac } = sealVersion(
    { ...row, record: new Uint8Array(), destroyed_at: nowMs },
    keys,
  )
  await trx
    .updateTable('credential_version')
    .set({ record, destroyed_at, mac })
    .where('path', '=', row.path)
    .where('version', '=', row.version)
    .execute()
}

function notFound(path: string, version?: number): VestryError {
  const what = version === undefined ? `'${path}'` : `version ${version} of '${path}'`
  return new VestryError('CREDENTIAL_NOT_FOUND', `there is no credential ${what}`, {
    hint: 'List what is available, or ask an operator to add it',
    context: { path, legacy_code: 'NOT_FOUND' },
  })
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

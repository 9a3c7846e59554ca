/**
 * The keys that sign our tokens: Ed25519 for transaction tokens, P-256 for SVIDs, never one for both. Kept in the
 * store, their private halves sealed. A new key is published before anything is signed with it, and an old one
 * stays until the last token it signed has expired. @see sage contract §8.4
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import type { Keyring } from '../../seal/keyring.ts'
import { openRecord, sealRecord } from '../../seal/record.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { RowGuard } from '../row-guard.ts'
import type { JwsAlgorithm } from './jws.ts'

export type KeyUse = 'trat' | 'svid'

/** A key that verifies, and the only algorithm it does so with. */
export interface VerificationKey {
  readonly kid: string
  readonly alg: JwsAlgorithm
  readonly key: KeyObject
}

export interface SigningKey {
  readonly kid: string
  readonly alg: JwsAlgorithm
  readonly privateKey: KeyObject
}

export interface PublicKeys {
  /** JWK Set of the transaction token keys. */
  readonly jwks: Readonly<Record<string, unknown>>
  /** SPIFFE bundle of our trust domain. */
  readonly bundle: Readonly<Record<string, unknown>>
}

export interface RunKeysDeps {
  readonly store: Store
  readonly guard: RowGuard
  readonly keys: () => Keyring
  /** Epoch ms. */
  readonly now: () => number
}

interface Held {
  readonly kid: string
  readonly use: KeyUse
  readonly alg: JwsAlgorithm
  readonly jwk: Readonly<Record<string, unknown>>
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly createdAt: number
  /** Epoch ms from which it signs. */
  readonly activeAt: number
  /** Epoch ms from which it verifies nothing any more. */
  readonly endsAt: number
}

type KeyRow = Tables['run_key']

/** What readers of our key sets are told, and how long a new key is published before it signs. */
export const REFRESH_HINT_SECONDS = 300
/** A key retires after this long. */
const ROTATE_AFTER_MS = 30 * 86_400_000
/** Longer than any token lives, the leeway included. */
export const LONGEST_TOKEN_MS: Readonly<Record<KeyUse, number>> = { trat: 960_000, svid: 3_660_000 }
const ALG: Readonly<Record<KeyUse, JwsAlgorithm>> = { trat: 'EdDSA', svid: 'ES256' }
const USES: readonly KeyUse[] = ['trat', 'svid']
/** As {@link RunKeys} names its keys; whatever else is in a token is not worth a look. */
const KID = /^(?:trat|svid)-[0-9a-f]{12}$/
/** A made-up kid must not make us read all day. */
const SEEK_EVERY_MS = 1_000

export class RunKeys {
  readonly #deps: RunKeysDeps
  #held: readonly Held[] | undefined
  #reading: Promise<void> | undefined
  #soughtAtMs = Number.NEGATIVE_INFINITY
  #version = 0

  constructor(deps: RunKeysDeps) {
    this.#deps = deps
  }

  /** Changes whenever the keys may have; what was verified under another version is verified again. */
  get version(): number {
    return this.#version
  }

  /** Called at unseal: makes the first keys. */
  async open(): Promise<void> {
    await this.reload()
    for (const use of USES) {
      if (this.#live(use).length === 0) await this.#add(use, this.#deps.now())
    }
    await this.reload()
  }

  /** Reads them again; calls at the same time share one read. */
  reload(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  /** @throws VestryError `VAULT_LOCKED` */
  signing(use: KeyUse): SigningKey {
    const nowMs = this.#deps.now()
    const active = this.#live(use).filter(({ activeAt }) => activeAt <= nowMs)
    // The newest that readers had time to learn of; should the clock have been set back, the oldest there is.
    const key = active.at(-1) ?? this.#live(use)[0]
    if (key === undefined) throw new VestryError('INTERNAL_ERROR', `there is no key for ${use}`)
    return { kid: key.kid, alg: key.alg, privateKey: key.privateKey }
  }

  verification(use: KeyUse): VerificationKey[] {
    return this.#live(use).map(({ kid, alg, publicKey }) => ({ kid, alg, key: publicKey }))
  }

  find(use: KeyUse, kid: string): VerificationKey | undefined {
    const nowMs = this.#deps.now()
    const key = this.#open().find((held) => held.use === use && held.kid === kid)
    if (key === undefined || key.endsAt <= nowMs) return undefined
    return { kid, alg: key.alg, key: key.publicKey }
  }

  /** As {@link find}, and once more in the store: another node may have made a key whose news is still on its way. */
  async seek(use: KeyUse, kid: string): Promise<VerificationKey | undefined> {
    const known = this.find(use, kid)
    if (known !== undefined || !KID.test(kid)) return known
    const nowMs = this.#deps.now()
    if (Math.abs(nowMs - this.#soughtAtMs) >= SEEK_EVERY_MS) {
      this.#soughtAtMs = nowMs
      await this.reload()
    } else await this.#reading
    return this.find(use, kid)
  }

  published(): PublicKeys {
    const nowMs = this.#deps.now()
    const svids = this.#live('svid')
    const moments = this.#open()
      .filter(({ use }) => use === 'svid')
      .flatMap(({ createdAt, endsAt }) => [createdAt, endsAt].filter((ms) => ms <= nowMs))
    return {
      jwks: {
        keys: this.#live('trat').map((key) => ({
          ...key.jwk,
          use: 'sig',
          alg: key.alg,
          kid: key.kid,
        })),
      },
      bundle: {
        // Any content begins with a key that came or one that ended, so the latest of these numbers it.
        spiffe_sequence: Math.floor(Math.max(0, ...moments) / 1_000),
        spiffe_refresh_hint: REFRESH_HINT_SECONDS,
        keys: svids.map((key) => ({ ...key.jwk, use: 'jwt-svid', kid: key.kid })),
      },
    }
  }

  /**
   * @param immediately The keys in use end now, and with them every token they signed: for keys that leaked.
   * @returns The ids of the new keys.
   */
  async rotate({ immediately = false, uses = USES } = {}): Promise<string[]> {
    const { store, guard, now } = this.#deps
    const nowMs = now()
    const activeAt = immediately ? nowMs : nowMs + REFRESH_HINT_SECONDS * 1_000
    const old = immediately ? this.#open().filter(({ use }) => uses.includes(use)) : []
    const made: string[] = []
    for (const use of uses) made.push(await this.#add(use, activeAt))
    if (old.length > 0) {
      const kids = old.map(({ kid }) => kid)
      await store.write(
        async (trx) => {
          const rows = await trx.selectFrom('run_key').selectAll().where('id', 'in', kids).execute()
          for (const { mac, ...row } of rows) {
            guard.check('run_key', row.id, row, mac)
            if (row.retired_at !== null) continue
            const retired = { ...row, retired_at: nowMs }
            await trx
              .updateTable('run_key')
              .set({ retired_at: nowMs, mac: guard.mac('run_key', row.id, retired) })
              .where('id', '=', row.id)
              .execute()
          }
        },
        { tell: ['run_key'] },
      )
    }
    await this.reload()
    return made
  }

  /** Replaces keys that are old, and forgets those that ended. */
  async maintain(): Promise<void> {
    const { store, now } = this.#deps
    const nowMs = now()
    const due = USES.filter((use) => {
      const newest = this.#live(use).at(-1)
      return newest !== undefined && nowMs - newest.createdAt >= ROTATE_AFTER_MS
    })
    if (due.length > 0) await this.rotate({ uses: due })
    // The last that ended still numbers the bundle.
    const ended = this.#open()
      .filter(({ endsAt }) => endsAt <= nowMs)
      .sort((a, b) => a.endsAt - b.endsAt)
    const kids = USES.flatMap((use) =>
      ended
        .filter((key) => key.use === use)
        .slice(0, -1)
        .map(({ kid }) => kid),
    )
    if (kids.length === 0) return
    await store.write((trx) => trx.deleteFrom('run_key').where('id', 'in', kids).execute(), {
      tell: ['run_key'],
    })
    await this.reload()
  }

  /** Sealed: nothing of it stays. */
  drop(): void {
    this.#held = undefined
    this.#version += 1
  }

  #open(): readonly Held[] {
    if (this.#held === undefined) throw new VestryError('VAULT_LOCKED')
    return this.#held
  }

  /** Oldest first. */
  #live(use: KeyUse): Held[] {
    const nowMs = this.#deps.now()
    return this.#open().filter((key) => key.use === use && key.endsAt > nowMs)
  }

  async #read(): Promise<void> {
    const { store, guard, keys } = this.#deps
    const keyring = keys()
    const rows = await store.db
      .selectFrom('run_key')
      .selectAll()
      .orderBy('active_at')
      .orderBy('id')
      .execute()
    const held = rows.map((row): Held => {
      const { mac, ...facts } = row
      guard.check('run_key', row.id, facts, mac)
      const successor = rows.find(
        (other) => other.use === row.use && other.active_at > row.active_at,
      )
      const over = successor && successor.active_at + LONGEST_TOKEN_MS[row.use]
      return openKey(row, keyring, Math.min(row.retired_at ?? Infinity, over ?? Infinity))
    })
    if (keys() !== keyring) throw new VestryError('VAULT_LOCKED') // sealed meanwhile
    // Read and found the same: what was verified with them stays verified.
    if (this.#held === undefined || !isSame(this.#held, held)) this.#version += 1
    this.#held = held
  }

  async #add(use: KeyUse, activeAt: number): Promise<string> {
    const { store, guard, keys, now } = this.#deps
    const { privateKey, publicKey } =
      use === 'trat'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const id = `${use}-${randomHex(6)}`
    const der = privateKey.export({ format: 'der', type: 'pkcs8' })
    const row = {
      id,
      use,
      alg: ALG[use],
      public_jwk: JSON.stringify(publicKey.export({ format: 'jwk' })),
      private_key: sealRecord(keys(), placeOf(id), der),
      created_at: now(),
      active_at: activeAt,
      retired_at: null,
    }
    der.fill(0)
    await store.write(
      (trx) =>
        trx
          .insertInto('run_key')
          .values({ ...row, mac: guard.mac('run_key', id, row) })
          .execute(),
      { tell: ['run_key'] },
    )
    return id
  }
}

function isSame(before: readonly Held[], after: readonly Held[]): boolean {
  if (before.length !== after.length) return false
  return before.every(
    ({ kid, endsAt }, at) => after[at]?.kid === kid && after[at].endsAt === endsAt,
  )
}

function openKey(row: KeyRow, keyring: Keyring, endsAt: number): Held {
  using opened = openRecord(keyring, placeOf(row.id), row.private_key)
  const { bytes } = opened
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const jwk = JSON.parse(row.public_jwk) as Record<string, unknown> // its MAC is right, so we wrote it
  return {
    kid: row.id,
    use: row.use,
    alg: ALG[row.use],
    jwk,
    publicKey: createPublicKey({ key: jwk, format: 'jwk' }),
    privateKey: createPrivateKey({ key, format: 'der', type: 'pkcs8' }),
    createdAt: row.created_at,
    activeAt: row.active_at,
    endsAt,
  }
}

function placeOf(kid: string) {
  return { path: kid, version: 1, kind: 'run-key' }
}

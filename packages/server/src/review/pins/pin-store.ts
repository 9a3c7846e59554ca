/**
 * Keys of others, each bound to a tool and a domain when it was first seen. A key that is bound stays: another one is
 * added by an operator, never by being met.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { PublicKey } from '../signing/public-key.ts'

export interface PinStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

/** `tofu`: met, and believed. `verified`: the domain's TXT record named it too. `pinned`: an operator's word. */
export type TrustLevel = 'tofu' | 'verified' | 'pinned'

export interface PinnedKey {
  readonly fingerprint: string
  readonly publicKeyPem: string
  /** Epoch ms. */
  readonly firstSeen: number
  readonly lastSeen: number
  readonly trustLevel: TrustLevel
}

export interface Pin {
  readonly toolId: string
  readonly domain: string
  /** At least one. */
  readonly keys: readonly PinnedKey[]
}

type PinRow = Tables['key_pin']

/** Being seen is remembered this often, no more: each time is a write. */
const SEEN_EVERY_MS = 24 * 3_600_000
/** Keys of one tool at one domain. */
const MAX_KEYS = 16

export class PinStore {
  readonly #deps: PinStoreDeps

  constructor(deps: PinStoreDeps) {
    this.#deps = deps
  }

  /** @throws VestryError `STORE_CORRUPT` */
  async find(toolId: string, domain: string): Promise<Pin | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('key_pin')
      .selectAll()
      .where('id', '=', pinId(toolId, domain))
      .executeTakeFirst()
    return row && this.#open(row)
  }

  /** By tool and domain. @throws VestryError `STORE_CORRUPT` */
  async list(): Promise<Pin[]> {
    const rows = await this.#deps.store.db.selectFrom('key_pin').selectAll().orderBy('id').execute()
    return rows.map((row) => this.#open(row))
  }

  /**
   * Binds a key that was met for the first time.
   *
   * @returns What is bound now: another key than the given one if somebody was faster.
   */
  async bind(
    { toolId, domain }: { readonly toolId: string; readonly domain: string },
    key: PublicKey,
    trustLevel: TrustLevel,
  ): Promise<Pin> {
    const { value } = await this.#change(toolId, domain, (pin) => {
      if (pin !== undefined) return pin
      return { toolId, domain, keys: [this.#seen(key, trustLevel)] }
    })
    return value
  }

  /** The key was met again. */
  async touch(pin: Pin, fingerprint: string): Promise<void> {
    const nowMs = this.#deps.now()
    const known = pin.keys.find((key) => key.fingerprint === fingerprint)
    if (known === undefined || nowMs - known.lastSeen < SEEN_EVERY_MS) return
    await this.#change(pin.toolId, pin.domain, (present) => {
      if (present === undefined) return pin // taken away meanwhile, and met since
      const keys = present.keys.map((key) =>
        key.fingerprint === fingerprint ? { ...key, lastSeen: nowMs } : key,
      )
      return { ...present, keys }
    })
  }

  /**
   * An operator's word for a key, beside those that are bound: how a provider gets to change its key.
   *
   * @throws VestryError `CONFLICT` for more keys than one tool can have.
   */
  add(
    { toolId, domain }: { readonly toolId: string; readonly domain: string },
    key: PublicKey,
  ): Promise<Changed<Pin>> {
    return this.#change(toolId, domain, (pin) => {
      const others = (pin?.keys ?? []).filter(({ fingerprint }) => fingerprint !== key.fingerprint)
      const before = pin?.keys.find(({ fingerprint }) => fingerprint === key.fingerprint)
      if (others.length >= MAX_KEYS)
        throw new VestryError('CONFLICT', `A tool has at most ${MAX_KEYS} pinned keys`, {
          hint: 'Remove those that are out of use.',
        })
      const added = this.#seen(key, 'pinned')
      const kept = { ...added, firstSeen: before?.firstSeen ?? added.firstSeen }
      return { toolId, domain, keys: [...others, kept] }
    })
  }

  /**
   * @param fingerprint All keys of the tool unless told.
   * @throws VestryError `NOT_FOUND`
   */
  remove(toolId: string, domain: string, fingerprint?: string): Promise<Changed<Pin | undefined>> {
    const { store } = this.#deps
    const id = pinId(toolId, domain)
    return store.change(async (trx) => {
      const row = await trx
        .selectFrom('key_pin')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      const pin = row && this.#open(row)
      const kept = pin?.keys.filter((key) => key.fingerprint !== fingerprint) ?? []
      if (pin === undefined || (fingerprint !== undefined && kept.length === pin.keys.length))
        throw new VestryError('NOT_FOUND', 'No such key is pinned', {
          hint: 'See "vestry tool pin list".',
        })
      if (fingerprint === undefined || kept.length === 0) {
        await trx.deleteFrom('key_pin').where('id', '=', id).execute()
        return undefined
      }
      const left = { ...pin, keys: kept }
      await trx.updateTable('key_pin').set(this.#seal(left)).where('id', '=', id).execute()
      return left
    })
  }

  #change(
    toolId: string,
    domain: string,
    next: (pin: Pin | undefined) => Pin,
  ): Promise<Changed<Pin>> {
    return this.#deps.store.change(async (trx) => {
      const id = pinId(toolId, domain)
      const row = await trx
        .selectFrom('key_pin')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      const before = row && this.#open(row)
      const after = next(before)
      if (after === before) return after
      const sealed = this.#seal(after)
      await trx
        .insertInto('key_pin')
        .values(sealed)
        .onConflict((clash) => clash.column('id').doUpdateSet(sealed))
        .execute()
      return after
    })
  }

  #seen({ fingerprint, pem }: PublicKey, trustLevel: TrustLevel): PinnedKey {
    const nowMs = this.#deps.now()
    return { fingerprint, publicKeyPem: pem, firstSeen: nowMs, lastSeen: nowMs, trustLevel }
  }

  #seal(pin: Pin): PinRow {
    const row = {
      id: pinId(pin.toolId, pin.domain),
      pins_json: JSON.stringify(pin),
      updated_at: this.#deps.now(),
    }
    return { ...row, mac: this.#deps.guard.mac('key_pin', row.id, row) }
  }

  #open({ mac, ...row }: PinRow): Pin {
    this.#deps.guard.check('key_pin', row.id, row, mac)
    return JSON.parse(row.pins_json) as Pin // we wrote it, says the MAC
  }
}

/** A domain has no `@`, so what stands behind the last one is it. */
function pinId(toolId: string, domain: string): string {
  return `${toolId}@${domain}`
}

/**
 * The registry of tokens. A token itself is nowhere, only the hash of what it says; every use reads the row
 * anew, so a revocation holds at once on every node.
 */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { RowGuard } from '../../identity/row-guard.ts'
import type { PointRead } from '../../store/engine.ts'
import { RecentMap } from '../../store/recent-map.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'

export interface RegisteredToken {
  /** UUID of the row. */
  readonly id: string
  /** UUID that the mint answered. Either one names the token when it is revoked. */
  readonly tokenId: string
  readonly agentId: string
  /** Hex SHA-256 of the payload. */
  readonly payloadHash: string
  readonly tools: readonly string[]
  readonly permissions: readonly string[]
  /** What calls are for that do not say. */
  readonly intent: string | undefined
  /** `txn_…`: the calls under one token are one transaction. */
  readonly txn: string
  /** Epoch ms. */
  readonly issuedAt: number
  readonly expiresAt: number
  readonly revokedAt: number | undefined
}

export interface TokenStoreDeps {
  store: Store
  guard: RowGuard
  /** Epoch ms. */
  now: () => number
}

type TokenRow = Tables['gateway_token']

const COLUMNS = [
  'id',
  'token_id',
  'agent_id',
  'payload_hash',
  'tools_json',
  'permissions_json',
  'intent',
  'txn',
  'issued_at',
  'expires_at',
  'revoked_at',
  'mac',
] as const satisfies readonly (keyof TokenRow)[]

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const Words = z.array(z.string())
/** An expired token stays listed this long. */
export const KEPT_AFTER_EXPIRY_MS = 7 * 86_400_000
/** Rows per transaction, so that a long list keeps no other write waiting. */
const BATCH = 500
/** Rows whose MAC was checked; longer ones are not kept. */
const CHECKED_ROWS = 4096
const MAX_CHECKED_CHARS = 4096

export class TokenStore {
  readonly #deps: TokenStoreDeps
  readonly #byHash: PointRead<TokenRow>
  readonly #byTokenId: PointRead<TokenRow>
  /** A row that reads the same as when its MAC was checked needs no second check, which costs most of a read. */
  readonly #checked = new RecentMap<string, { row: TokenRow; token: RegisteredToken }>(CHECKED_ROWS)

  constructor(deps: TokenStoreDeps) {
    this.#deps = deps
    this.#byHash = deps.store.pointRead('gateway_token', ['payload_hash'], COLUMNS)
    this.#byTokenId = deps.store.pointRead('gateway_token', ['token_id'], COLUMNS)
  }

  /** @throws VestryError `CONFLICT` when its payload or an id of it is registered already. */
  async add(token: RegisteredToken): Promise<void> {
    const row = sealRow(token, this.#deps.guard)
    await this.#deps.store.write((trx) => trx.insertInto('gateway_token').values(row).execute())
  }

  /** Answers at once on SQLite. Revoked and expired ones are found too. @throws VestryError `STORE_CORRUPT` */
  findByHash(
    payloadHash: string,
  ): RegisteredToken | undefined | Promise<RegisteredToken | undefined> {
    return this.#opened(this.#byHash(payloadHash))
  }

  findByTokenId(
    tokenId: string,
  ): RegisteredToken | undefined | Promise<RegisteredToken | undefined> {
    if (!UUID.test(tokenId)) return undefined
    return this.#opened(this.#byTokenId(tokenId))
  }

  /** Newest first. What is left out does not count towards the limit. */
  async list(wanted: {
    limit: number
    agentId?: string
    withoutRevoked?: boolean
    withoutExpired?: boolean
  }): Promise<RegisteredToken[]> {
    const { agentId, limit } = wanted
    let query = this.#deps.store.db
      .selectFrom('gateway_token')
      .selectAll()
      .orderBy('issued_at', 'desc')
      .orderBy('id')
      .limit(limit)
    if (agentId !== undefined) query = query.where('agent_id', '=', agentId)
    if (wanted.withoutRevoked === true) query = query.where('revoked_at', 'is', null)
    if (wanted.withoutExpired === true) query = query.where('expires_at', '>', this.#deps.now())
    const rows = await query.execute()
    return rows.map((row) => openRow(row, this.#deps.guard))
  }

  /**
   * Once more changes nothing: the first time stands.
   *
   * @param eitherId `id` or `tokenId`.
   * @throws VestryError `NOT_FOUND`
   */
  async revoke(eitherId: string): Promise<RegisteredToken> {
    const { store, guard, now } = this.#deps
    if (!UUID.test(eitherId)) throw unknown()
    return store.write(async (trx) => {
      const row = await trx
        .selectFrom('gateway_token')
        .selectAll()
        .where((is) => is.or([is('id', '=', eitherId), is('token_id', '=', eitherId)]))
        .executeTakeFirst()
      if (row === undefined) throw unknown()
      const token = openRow(row, guard)
      if (token.revokedAt !== undefined) return token
      const revoked = { ...token, revokedAt: now() }
      const { revoked_at, mac } = sealRow(revoked, guard)
      await trx
        .updateTable('gateway_token')
        .set({ revoked_at, mac })
        .where('id', '=', row.id)
        .execute()
      return revoked
    })
  }

  /** Every token of the agent that still lives. @returns how many that were. */
  revokeAll(agentId: string): Promise<number> {
    return this.#revokeWhere('agent_id', agentId)
  }

  /** Every token that was taken in this transaction and still lives. @returns how many that were. */
  revokeTaken(txn: string): Promise<number> {
    return this.#revokeWhere('txn', txn)
  }

  async #revokeWhere(column: 'agent_id' | 'txn', value: string): Promise<number> {
    const { store, guard, now } = this.#deps
    const startMs = now()
    for (let total = 0; ; ) {
      const done = await store.write(async (trx) => {
        const rows = await trx
          .selectFrom('gateway_token')
          .selectAll()
          .where(column, '=', value)
          .where('revoked_at', 'is', null)
          .where('expires_at', '>', startMs)
          .orderBy('issued_at')
          .limit(BATCH)
          .execute()
        for (const row of rows) {
          const revoked = { ...openRow(row, guard), revokedAt: now() }
          const { revoked_at, mac } = sealRow(revoked, guard)
          await trx
            .updateTable('gateway_token')
            .set({ revoked_at, mac })
            .where('id', '=', row.id)
            .execute()
        }
        return rows.length
      })
      total += done
      if (done < BATCH) return total
    }
  }

  /** Forgets what expired a week ago. @returns how many rows that were. */
  async prune(): Promise<number> {
    const { store, now } = this.#deps
    const beforeMs = now() - KEPT_AFTER_EXPIRY_MS
    for (let total = 0; ; ) {
      const done = await store.write(async (trx) => {
        const old = trx
          .selectFrom('gateway_token')
          .select('id')
          .where('expires_at', '<', beforeMs)
          .limit(BATCH)
        const { numDeletedRows } = await trx
          .deleteFrom('gateway_token')
          .where('id', 'in', old)
          .executeTakeFirst()
        return Number(numDeletedRows)
      })
      total += done
      if (done < BATCH) return total
    }
  }

  /** Empties the memory, as sealing demands. */
  drop(): void {
    this.#checked.clear()
  }

  #opened(
    found: TokenRow | undefined | Promise<TokenRow | undefined>,
  ): RegisteredToken | undefined | Promise<RegisteredToken | undefined> {
    if (found instanceof Promise) return found.then((row) => row && this.#open(row))
    return found && this.#open(found)
  }

  #open(row: TokenRow): RegisteredToken {
    const known = this.#checked.get(row.id)
    if (known !== undefined && sameRow(known.row, row)) return known.token
    const token = openRow(row, this.#deps.guard)
    if (row.tools_json.length + row.permissions_json.length <= MAX_CHECKED_CHARS) {
      this.#checked.set(row.id, { row, token })
    }
    return token
  }
}

function sameRow(one: TokenRow, other: TokenRow): boolean {
  return COLUMNS.every((column) =>
    column === 'mac' ? Buffer.compare(one.mac, other.mac) === 0 : one[column] === other[column],
  )
}

function sealRow(token: RegisteredToken, guard: RowGuard): TokenRow {
  const row = {
    id: token.id,
    token_id: token.tokenId,
    agent_id: token.agentId,
    payload_hash: token.payloadHash,
    tools_json: JSON.stringify(token.tools),
    permissions_json: JSON.stringify(token.permissions),
    intent: token.intent ?? null,
    txn: token.txn,
    issued_at: token.issuedAt,
    expires_at: token.expiresAt,
    revoked_at: token.revokedAt ?? null,
  }
  return { ...row, mac: guard.mac('gateway_token', token.id, row) }
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
function openRow({ mac, ...row }: TokenRow, guard: RowGuard): RegisteredToken {
  guard.check('gateway_token', row.id, row, mac)
  return {
    id: row.id,
    tokenId: row.token_id,
    agentId: row.agent_id,
    payloadHash: row.payload_hash,
    tools: accept(Words, JSON.parse(row.tools_json), 'STORE_CORRUPT'),
    permissions: accept(Words, JSON.parse(row.permissions_json), 'STORE_CORRUPT'),
    intent: row.intent ?? undefined,
    txn: row.txn,
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at ?? undefined,
  }
}

function unknown(): VestryError {
  return new VestryError('NOT_FOUND', 'No such token', {
    hint: 'List the tokens of the agent to see their ids.',
  })
}

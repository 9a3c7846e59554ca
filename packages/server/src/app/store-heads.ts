/**
 * Two witnesses that watch each other: the store keeps the end of the audit log, the log keeps the
 * store's generation. At unseal each is held against the other, so neither can be rolled back alone.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Head } from '../audit/chain.ts'
import type { AuditLog } from '../audit/log.ts'
import { readTailFirst } from '../audit/query.ts'
import type { AuditRecord } from '../audit/record.ts'
import { checkRow, type RowKeys, rowMac } from '../seal/row-mac.ts'
import type { Store } from '../store/store.ts'

const HINT =
  'Restore the newest backup of both, or start once with --accept-rollback after finding out why'

/** How far back the newest mention of a generation may lie; each start writes one. */
const SEARCH_RECORDS = 1_000_000

export class StoreHeads {
  readonly #store: Store
  readonly #keys: () => RowKeys
  readonly #key: string

  /** @param chain The log's own id: nodes that share a store keep a head each. */
  constructor(store: Store, keys: () => RowKeys, chain: string) {
    this.#store = store
    this.#keys = keys
    this.#key = `audit_head:${chain}`
  }

  async keep({ seq, hash }: Head): Promise<void> {
    const row = { seq, hash }
    const mac = Buffer.from(rowMac(this.#keys(), 'meta', this.#key, row)).toString('hex')
    const value = JSON.stringify({ ...row, mac })
    await this.#store.write((trx) =>
      trx
        .insertInto('meta')
        .values({ key: this.#key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute(),
    )
  }

  /** @throws VestryError STORE_CORRUPT when the row is not the one that was written. */
  async kept(): Promise<Head | undefined> {
    const row = await this.#store.db
      .selectFrom('meta')
      .select('value')
      .where('key', '=', this.#key)
      .executeTakeFirst()
    if (row === undefined) return undefined
    const { seq, hash, mac } = JSON.parse(row.value) as { seq: number; hash: string; mac: string }
    checkRow(this.#keys(), 'meta', this.#key, { seq, hash }, Buffer.from(mac, 'hex'))
    return { seq, hash }
  }

  /**
   * @param policySet Digest of the policies that were just loaded.
   * @throws VestryError AUDIT_TRUNCATED, STORE_ROLLED_BACK or STORE_CORRUPT, each saying which witness it believes.
   */
  async compare(audit: AuditLog, policySet: string): Promise<void> {
    const kept = await this.kept()
    const head = audit.head()
    if (kept !== undefined && kept.seq > head.seq) {
      throw new VestryError(
        'AUDIT_TRUNCATED',
        `the log ends at record ${head.seq}, the store has seen ${kept.seq}`,
        {
          hint: HINT,
        },
      )
    }
    const generation = await this.#store.generation()
    const audited = await newestGeneration(audit.dir)
    if (audited === undefined) return
    if (generation < audited.generation) {
      throw new VestryError(
        'STORE_ROLLED_BACK',
        `the store is at generation ${generation}, the log has recorded ${audited.generation}`,
        { hint: HINT, context: { generation, audited: audited.generation } },
      )
    }
    if (
      generation === audited.generation &&
      audited.policySet !== undefined &&
      audited.policySet !== policySet
    ) {
      throw new VestryError('STORE_CORRUPT', 'the stored policies are not the ones last recorded', {
        hint: HINT,
        context: { recorded: audited.policySet, stored: policySet },
      })
    }
  }
}

async function newestGeneration(
  dir: string,
): Promise<{ generation: number; policySet: string | undefined } | undefined> {
  let generation: number | undefined
  let policySet: string | undefined
  let seen = 0
  for await (const { record } of readTailFirst(dir, SEARCH_RECORDS)) {
    seen += 1
    if (seen > SEARCH_RECORDS) break
    const found = mention(record)
    if (found === undefined) continue
    generation = Math.max(generation ?? 0, found.generation)
    policySet ??= found.policySet
    // A start mentions both and ends the search.
    if (policySet !== undefined) break
  }
  return generation === undefined ? undefined : { generation, policySet }
}

function mention(
  record: AuditRecord,
): { generation: number; policySet: string | undefined } | undefined {
  for (const facts of [record.outcome, record.data] as (Record<string, unknown> | undefined)[]) {
    const generation = facts?.['generation']
    if (typeof generation !== 'number') continue
    const policySet = facts?.['policy_set']
    return { generation, policySet: typeof policySet === 'string' ? policySet : undefined }
  }
  return undefined
}

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
import { note } from './note.ts'

const HINT =
  'Restore the newest backup of both, or start once with --accept-rollback after finding out why'

/** How far back the newest mention of a generation is looked for; a running node repeats it much sooner. */
const SEARCH_RECORDS = 1_000_000
const MENTION_EVERY_RECORDS = 100_000
const PREFIX = 'audit_head:'

interface Kept extends Head {
  /** Host and home of the node whose log this is: one machine may run several. */
  readonly node: string
}

export class StoreHeads {
  readonly #store: Store
  readonly #keys: () => RowKeys
  readonly #audit: AuditLog
  readonly #node: string
  readonly #policySet: () => Promise<string>
  readonly #areThoseOf: (policySet: string) => Promise<boolean | undefined>
  #mentionedAt: number

  constructor(deps: {
    store: Store
    keys: () => RowKeys
    audit: AuditLog
    node: string
    /** Digest of the stored policies. */
    policySet: () => Promise<string>
    /** Whether the stored policies are those of another set, whatever is built in; undefined: it was not kept. */
    areThoseOf: (policySet: string) => Promise<boolean | undefined>
  }) {
    this.#store = deps.store
    this.#keys = deps.keys
    this.#audit = deps.audit
    this.#node = deps.node
    this.#policySet = deps.policySet
    this.#areThoseOf = deps.areThoseOf
    this.#mentionedAt = deps.audit.head().seq
  }

  /** Nodes that share a store keep a head each, under the id of their log. */
  async keep({ seq, hash }: Head): Promise<void> {
    const key = this.#key
    const row = { node: this.#node, seq, hash }
    const mac = Buffer.from(rowMac(this.#keys(), 'meta', key, row)).toString('hex')
    const value = JSON.stringify({ ...row, mac })
    await this.#store.write((trx) =>
      trx
        .insertInto('meta')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute(),
    )
  }

  /** Called with each checkpoint: keeps it, and repeats the generation before it lies too far back. */
  async onCheckpoint(head: Head): Promise<void> {
    await this.keep(head)
    if (head.seq - this.#mentionedAt < MENTION_EVERY_RECORDS) return
    this.#mentionedAt = head.seq
    const state = await this.state()
    await this.#audit.append(
      { ...note('vault.state', `generation ${state.generation}`), data: { ...state } },
      'written',
    )
  }

  /**
   * What a record says of the store. The policies are those of that very generation: a record that paired two
   * moments would have the vault take its own policies for altered ones.
   */
  async state(): Promise<{ generation: number; policy_set?: string }> {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const generation = await this.#store.generation()
      const policySet = await this.#policySet()
      if ((await this.#store.generation()) === generation)
        return { generation, policy_set: policySet }
    }
    return { generation: await this.#store.generation() }
  }

  /** @throws VestryError STORE_CORRUPT when the row is not the one that was written. */
  async kept(): Promise<Head | undefined> {
    const row = (await this.#rows()).find(({ key }) => key === this.#key)
    return row === undefined ? undefined : this.#open(row)
  }

  /** An operator accepts this log for the one of this node: the store forgets the others it had. */
  async adopt(): Promise<void> {
    const lost = (await this.#rows()).filter(({ key, value }) => {
      const own = this.#store.engine === 'sqlite' || value.includes(JSON.stringify(this.#node))
      return own && key !== this.#key
    })
    await this.#store.write(async (trx) => {
      for (const { key } of lost) await trx.deleteFrom('meta').where('key', '=', key).execute()
    })
    await this.keep(this.#audit.head())
  }

  /** @throws VestryError AUDIT_TRUNCATED, STORE_ROLLED_BACK or STORE_CORRUPT, each saying which witness it believes. */
  async compare(): Promise<void> {
    await this.#compareLog()
    const { generation, policy_set: policySet } = await this.state()
    const audited = await newestGeneration(this.#audit.dir)
    if (audited === undefined) return
    if (generation < audited.generation) {
      throw new VestryError(
        'STORE_ROLLED_BACK',
        `the store is at generation ${generation}, the log has recorded ${audited.generation}`,
        { hint: HINT, context: { generation, audited: audited.generation } },
      )
    }
    const { policySet: recorded } = audited
    if (generation !== audited.generation || recorded === undefined || policySet === undefined)
      return
    // Of a set that was not kept nothing can be said here; the fingerprint of the rows answers for it.
    if (recorded !== policySet && (await this.#areThoseOf(recorded)) === false) {
      throw new VestryError('STORE_CORRUPT', 'the stored policies are not the ones last recorded', {
        hint: HINT,
        context: { recorded, stored: policySet },
      })
    }
  }

  async #compareLog(): Promise<void> {
    const kept = await this.kept()
    const head = this.#audit.head()
    if (kept === undefined) return this.#assertNoOtherLog()
    const { seq, hash } = kept
    if (seq > head.seq) {
      throw truncated(`the log ends at record ${head.seq}, the store has seen ${seq}`)
    }
    const found = seq === head.seq ? head.hash : await hashOf(this.#audit.dir, seq)
    if (found !== hash) {
      throw truncated(`record ${seq} of the log is not the one the store has seen`)
    }
  }

  /** A SQLite file has one node, so one log; in a database each node has one. */
  async #assertNoOtherLog(): Promise<void> {
    for (const row of await this.#rows()) {
      const { node, seq } = this.#open(row)
      if (this.#store.engine === 'postgres' && node !== this.#node) continue
      throw truncated(`the log is new, and the store has seen one with ${seq} records`)
    }
  }

  get #key(): string {
    return PREFIX + this.#audit.chain
  }

  #rows(): Promise<{ key: string; value: string }[]> {
    return this.#store.db
      .selectFrom('meta')
      .selectAll()
      .where('key', 'like', `${PREFIX}%`)
      .execute()
  }

  #open({ key, value }: { key: string; value: string }): Kept {
    const { mac, node, seq, hash } = JSON.parse(value) as Kept & { mac: string }
    checkRow(this.#keys(), 'meta', key, { node, seq, hash }, Buffer.from(mac, 'hex'))
    return { node, seq, hash }
  }
}

/** @returns The hash of one record, undefined when the log does not hold it. */
async function hashOf(dir: string, seq: number): Promise<string | undefined> {
  for await (const { record } of readTailFirst(dir, Number.MAX_SAFE_INTEGER, { fromSeq: seq })) {
    if (record.seq === seq) return record.hash
  }
  return undefined
}

async function newestGeneration(
  dir: string,
): Promise<{ generation: number; policySet: string | undefined } | undefined> {
  let newest: ReturnType<typeof mention>
  for await (const { record } of readTailFirst(dir, SEARCH_RECORDS)) {
    const found = mention(record)
    if (found === undefined) continue
    if (newest === undefined || found.generation > newest.generation) newest = found
    // A start mentions the generation it found; nothing before it can be newer.
    if (record.action === 'vault.unseal') break
  }
  return newest
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

function truncated(message: string): VestryError {
  return new VestryError('AUDIT_TRUNCATED', message, { hint: HINT })
}

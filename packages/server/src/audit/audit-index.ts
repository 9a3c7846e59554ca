/**
 * The query index over the log, in the store. Written behind, caught up by `seq`, and never more than a
 * copy: it can be thrown away and rebuilt, and every answer is read from the log itself.
 */
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Insertable } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { type AuditFilter, matches, pathOf } from './filter.ts'
import { lineFrom } from './lines.ts'
import { openIfThere, readFile, type Stored } from './query.ts'
import { type AuditRecord, parseRecord } from './record.ts'
import { firstRecord } from './recovery.ts'
import { ACTIVE, listSegments, type Segment, segmentName } from './segment.ts'

type Row = Insertable<Tables['audit_index']>

export interface AuditIndexOptions {
  store: Pick<Store, 'db' | 'write' | 'writeBehind'>
  /** The `audit/` directory. */
  dir: string
  /** Whose log this is, where several nodes share a store. Default: the only node. */
  node?: string | undefined
  /** Highest `seq` to index: the log's synced head. The whole file when absent. */
  through?: (() => number) | undefined
}

/** A segment under the name it has, or will have, once finished. */
interface Named extends Segment {
  finalName: string
}

const ROWS_PER_WRITE = 200
const PAGE = 200
/** Nobody waiting, the index rests this many times as long as it worked: callers come first. */
const REST_PER_WORK = 50
const MAX_REST_MS = 1_000

export class AuditIndex {
  readonly #options: AuditIndexOptions
  readonly #node: string
  #running: Promise<number> | undefined
  #position: { seq: number; segment: string; offset: number } | undefined
  #prunedTo = 0
  #problem: unknown
  /** A run under way ends after its batch; the rest is for the next start. */
  #stopping = false
  /** Callers who wait for the index to be complete. */
  #hurried = 0

  constructor(options: AuditIndexOptions) {
    this.#options = options
    this.#node = options.node ?? ''
  }

  /** The failure of the last attempt, undefined after a good one. The log itself is unaffected. */
  get problem(): unknown {
    return this.#problem
  }

  /** Indexes what the log has and the index has not, at full speed. @returns The number of records added. */
  async catchUp(): Promise<number> {
    this.#hurried += 1
    try {
      // A run under way may have read past the place where new records arrived since.
      const before = (await this.#running) ?? 0
      return before + (await this.#run())
    } finally {
      this.#hurried -= 1
    }
  }

  #run(): Promise<number> {
    this.#running ??= this.#catchUp()
      .then(
        (added) => {
          this.#problem = undefined
          return added
        },
        (cause: unknown) => {
          this.#position = undefined
          this.#problem = cause
          throw cause
        },
      )
      .finally(() => {
        this.#running = undefined
      })
    return this.#running
  }

  /** Empties the index and reads the whole log again. */
  async rebuild(): Promise<number> {
    await this.#running?.catch(() => 0)
    await this.#forget(Number.MAX_SAFE_INTEGER)
    this.#position = { seq: 0, segment: '', offset: 0 }
    return this.catchUp()
  }

  /**
   * Catches up at intervals, quietly trying again after a failure. Disposing it ends that. While the log
   * grows fast it takes a small share of the time and falls behind; a query catches up first.
   */
  start(intervalMs = 500): AsyncDisposable {
    let ended = false
    let timer: NodeJS.Timeout | undefined
    const next = () => {
      timer = setTimeout(() => {
        this.#run()
          .catch(() => 0)
          .finally(() => {
            if (!ended) next()
          })
      }, intervalMs).unref()
    }
    next()
    return {
      [Symbol.asyncDispose]: async () => {
        ended = true
        this.#stopping = true
        clearTimeout(timer)
        await this.#running?.catch(() => 0)
        this.#stopping = false
      },
    }
  }

  /**
   * Records of this node's log, newest first.
   *
   * @param limit Most records returned.
   * @param beforeSeq Only records below it, to continue where an earlier answer ended.
   */
  async find(filter: AuditFilter, limit: number, beforeSeq?: number): Promise<Stored[]> {
    const found: Stored[] = []
    await using files = new OpenFiles(await named(this.#options.dir))
    let below = beforeSeq ?? Number.MAX_SAFE_INTEGER
    while (found.length < limit) {
      const rows = await this.#rows(filter, below)
      for (const row of rows) {
        const stored = await files.read(row.segment, row.offset, row.length)
        if (stored?.record.seq !== row.seq) continue // pruned meanwhile
        if (matches(filter, stored.record, stored.line)) found.push(stored)
        if (found.length === limit) break
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) break
      below = last.seq
    }
    return found
  }

  #rows(filter: AuditFilter, below: number) {
    let query = this.#options.store.db
      .selectFrom('audit_index')
      .select(['seq', 'segment', 'offset', 'length'])
      .where('node', '=', this.#node)
      .where('seq', '<', below)
      .orderBy('seq', 'desc')
      .limit(PAGE)
    for (const [column, value] of Object.entries(equalities(filter)))
      if (value !== undefined) query = query.where(column as keyof Equalities, '=', value)
    if (filter.denied === true) query = query.where('success', '=', 0)
    if (filter.sinceMs !== undefined) query = query.where('timestamp', '>=', filter.sinceMs)
    if (filter.untilMs !== undefined) query = query.where('timestamp', '<', filter.untilMs)
    return query.execute()
  }

  async #catchUp(): Promise<number> {
    const segments = await named(this.#options.dir)
    await this.#dropPruned(segments)
    const from = this.#position ?? (await this.#lastIndexed(segments))
    let position = from
    let added = 0
    const through = this.#options.through?.() ?? Number.MAX_SAFE_INTEGER
    const begin = segments.findIndex(({ finalName }) => finalName === from.segment)
    for (const segment of segments.slice(Math.max(begin, 0))) {
      if (segment.finalName !== from.segment && segment.firstSeq <= from.seq) continue
      const offset = segment.finalName === from.segment ? from.offset : 0
      let rows: Row[] = []
      for await (const stored of readFile(segment, offset)) {
        if (stored.record.seq > through) break
        rows.push(rowOf(this.#node, stored, segment.finalName))
        position = {
          seq: stored.record.seq,
          segment: segment.finalName,
          offset: stored.offset + stored.length + 1,
        }
        if (rows.length < ROWS_PER_WRITE) continue
        added += await this.#add(rows)
        this.#position = position
        if (this.#stopping) return added
        rows = []
      }
      added += await this.#add(rows)
    }
    this.#position = position
    return added
  }

  async #add(rows: Row[]): Promise<number> {
    if (rows.length === 0) return 0
    const started = performance.now()
    await this.#options.store.writeBehind({
      table: 'audit_index',
      rows,
      key: ['node', 'seq'],
      update: [],
    })
    if (this.#hurried === 0 && !this.#stopping) {
      const took = performance.now() - started
      await new Promise((resolve) =>
        setTimeout(resolve, Math.min(took * REST_PER_WORK, MAX_REST_MS)),
      )
    }
    return rows.length
  }

  /** Where to go on; from the start when the index does not describe this log. */
  async #lastIndexed(segments: readonly Named[]) {
    const start = { seq: 0, segment: '', offset: 0 }
    const row = await this.#options.store.db
      .selectFrom('audit_index')
      .select(['seq', 'timestamp', 'segment', 'offset', 'length'])
      .where('node', '=', this.#node)
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (row === undefined) return start
    await using files = new OpenFiles(segments)
    const stored = await files.read(row.segment, row.offset, row.length)
    if (stored?.record.seq === row.seq && Date.parse(stored.record.timestamp) === row.timestamp)
      return { seq: row.seq, segment: row.segment, offset: row.offset + row.length + 1 }
    await this.#forget(Number.MAX_SAFE_INTEGER)
    return start
  }

  async #dropPruned(segments: readonly Named[]): Promise<void> {
    const first = segments[0]
    const seq = first?.firstSeq ?? 0
    if (seq <= this.#prunedTo) return
    if (seq > 1) await this.#forget(seq)
    this.#prunedTo = seq
  }

  async #forget(below: number): Promise<void> {
    await this.#options.store.write((trx) =>
      trx
        .deleteFrom('audit_index')
        .where('node', '=', this.#node)
        .where('seq', '<', below)
        .execute(),
    )
  }
}

interface Equalities {
  agent: string | undefined
  actor: string | undefined
  action: string | undefined
  source: string | undefined
  path: string | undefined
  request_id: string | undefined
  txn: string | undefined
  trace_id: string | undefined
  decision_id: string | undefined
}

function equalities(filter: AuditFilter): Equalities {
  return {
    agent: filter.agent,
    actor: filter.actor,
    action: filter.action,
    source: filter.source,
    path: filter.path,
    request_id: filter.requestId,
    txn: filter.txn,
    trace_id: filter.traceId,
    decision_id: filter.decisionId,
  }
}

function rowOf(node: string, { record, offset, length }: Stored, segment: string): Row {
  return {
    node,
    seq: record.seq,
    timestamp: Date.parse(record.timestamp),
    action: record.action,
    phase: record.phase,
    agent: record.agent ?? null,
    actor: record.actor,
    source: record.source,
    success: record.success ? 1 : 0,
    path: pathOf(record) ?? null,
    request_id: record.request_id ?? null,
    txn: record.txn ?? null,
    trace_id: traceOf(record) ?? null,
    decision_id: record.decision?.id ?? null,
    segment,
    offset,
    length,
  }
}

function traceOf(record: AuditRecord): string | undefined {
  const id = record.span?.trace_id
  return typeof id === 'string' ? id : undefined
}

/** Segments by the name they keep: the active one is renamed when it is finished. */
async function named(dir: string): Promise<Named[]> {
  const out: Named[] = []
  for (const segment of listSegments(dir)) {
    if (segment.name !== ACTIVE) out.push({ ...segment, finalName: segment.name })
    else {
      const first = await firstRecord(join(dir, ACTIVE)).catch(() => undefined)
      if (first === undefined) continue // just begun, or renamed this moment
      out.push({ ...segment, firstSeq: first.seq, finalName: segmentName(first.seq) })
    }
  }
  return out
}

class OpenFiles implements AsyncDisposable {
  readonly #segments: Map<string, Named>
  readonly #handles = new Map<string, FileHandle | undefined>()

  constructor(segments: readonly Named[]) {
    this.#segments = new Map(segments.map((segment) => [segment.finalName, segment]))
  }

  async read(finalName: string, offset: number, length: number): Promise<Stored | undefined> {
    const segment = this.#segments.get(finalName)
    const handle = segment === undefined ? undefined : await this.#open(segment)
    if (segment === undefined || handle === undefined) return undefined
    const { text } = await lineFrom(handle, offset, length)
    const record = text === undefined ? undefined : parseRecord(text)
    if (text === undefined || record === undefined) return undefined
    return { record, line: text, file: segment.name, offset, length }
  }

  async #open(segment: Named): Promise<FileHandle | undefined> {
    if (!this.#handles.has(segment.finalName)) {
      const finished = join(segment.path, '..', segment.finalName)
      const handle = (await openIfThere(segment.path)) ?? (await openIfThere(finished))
      this.#handles.set(segment.finalName, handle)
    }
    return this.#handles.get(segment.finalName)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#handles.values()) await handle?.close()
  }
}

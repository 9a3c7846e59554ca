/**
 * Steps in the table `execution_step`. A repeatable step is not on disk before it begins, and its result goes there
 * a little later or with the next write that cannot wait, so that a run of quick steps costs few commits: whatever
 * cannot be repeated waits until all results that it may rest on are on disk.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { asVestryError, type ErrorCode, VestryError } from '@vestry/contract/errors'
import { openRecord, type RecordKeys, sealRecord } from '../seal/record.ts'
import type { Store } from '../store/store.ts'
import type { Held } from './held.ts'
import type { StepPlan, StepRecord, Steps } from './step.ts'
import { readSteps, type StepRow, writeSteps } from './step-rows.ts'

export interface StepsDeps {
  readonly store: Store
  /** @throws VestryError VAULT_LOCKED while sealed. */
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
}

const MAX_OUTPUT_BYTES = 4 * 1024 * 1024
const MAX_KEY_BYTES = 400
const MAX_STEPS = 20_000
/** How long the result of a repeatable step may be in memory only. */
const BEHIND_MS = 100
const KIND = 'execution-step'
/** What ended with one of these did not fail by itself: the next run of the execution goes on with it. */
const GIVEN_UP: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['SHUTTING_DOWN'])

/**
 * Call it once for each time that an execution is held, and `close` at the end.
 * @throws VestryError STORE_UNAVAILABLE
 */
export async function openSteps(
  deps: StepsDeps,
  held: Pick<Held, 'id' | 'attempt' | 'signal'>,
): Promise<Steps> {
  // One that was never begun before has none.
  const rows = held.attempt === 1 ? [] : await readSteps(deps.store, held.id)
  return new StoredSteps(deps, held, rows)
}

export interface StoredStep {
  readonly record: StepRecord
  /** What it is worth, or what went wrong with it. */
  readonly value: unknown
}

/** What is on disk of an execution that may be nobody's. @throws VestryError VAULT_LOCKED, STORE_UNAVAILABLE */
export async function storedSteps(deps: StepsDeps, id: string): Promise<readonly StoredStep[]> {
  const rows = await readSteps(deps.store, id)
  return rows.map((row) => ({
    record: toRecord(row),
    value: row.output === null ? undefined : openOutput(deps, row),
  }))
}

function openOutput(
  { keys }: Pick<StepsDeps, 'keys'>,
  row: Pick<StepRow, 'execution_id' | 'key' | 'output'>,
): unknown {
  using opened = openRecord(
    keys(),
    placeOf(row.execution_id, row.key),
    row.output ?? new Uint8Array(),
  )
  return JSON.parse(Buffer.from(opened.bytes).toString('utf8'))
}

function placeOf(id: string, key: string) {
  return { path: `${id}/${key}`, version: 1, kind: KIND }
}

class StoredSteps implements Steps {
  readonly #deps: StepsDeps
  readonly #held: Pick<Held, 'id' | 'attempt' | 'signal'>
  readonly #rows = new Map<string, StepRow>()
  /** Begun by an earlier run of the execution, and not known to have ended. */
  readonly #interrupted = new Set<string>()
  readonly #results = new Map<string, unknown>()
  readonly #running = new Set<string>()
  /** Keys of rows that are newer than on disk. */
  #unsaved = new Set<string>()
  #writing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    deps: StepsDeps,
    held: Pick<Held, 'id' | 'attempt' | 'signal'>,
    rows: readonly StepRow[],
  ) {
    this.#deps = deps
    this.#held = held
    for (const row of rows) {
      this.#rows.set(row.key, row)
      if (row.state === 'sent') this.#interrupted.add(row.key)
    }
  }

  list(): readonly StepRecord[] {
    return [...this.#rows.values()].map(toRecord)
  }

  find(key: string): StepRecord | undefined {
    const row = this.#rows.get(key)
    return row && toRecord(row)
  }

  async run<T>(plan: StepPlan, body: (attempt: number) => Promise<T>): Promise<T> {
    const { key } = plan
    if (this.#running.has(key))
      throw new VestryError('INTERNAL_ERROR', `Step ${key} runs twice at once`)
    this.#running.add(key)
    try {
      const known = this.#rows.get(key)
      if (known?.state === 'done') return this.#resultOf(known) as T
      if (known?.state === 'failed') throw this.#errorOf(known)
      if (known !== undefined && this.#interrupted.has(key) && !plan.repeatable)
        return await this.#unknown(known)
      const runAtMs = known?.state === 'waiting' ? (known.run_at ?? 0) : 0
      await this.#until(runAtMs)
      return await this.#begin(plan, known, body)
    } finally {
      this.#running.delete(key)
    }
  }

  async retry(key: string, notBeforeMs: number): Promise<void> {
    const known = this.#rows.get(key)
    if (known?.state === 'done' || known?.state === 'sent')
      throw new VestryError('CONFLICT', `Step ${key} is ${known.state}`)
    this.#put({
      ...(known ?? this.#newRow({ key, kind: 'wait', repeatable: true })),
      state: 'waiting',
      output: null,
      run_at: notBeforeMs,
    })
    await this.flush()
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // What is being written may be older than what is here now.
    while (this.#unsaved.size > 0 || this.#writing !== undefined) {
      this.#writing ??= this.#write()
      await this.#writing
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#unsaved.clear()
    this.#results.clear()
  }

  async #begin<T>(
    plan: StepPlan,
    known: StepRow | undefined,
    body: (attempt: number) => Promise<T>,
  ): Promise<T> {
    this.#assertOpen()
    const row: StepRow = {
      ...this.#newRow(plan),
      attempts: (known?.attempts ?? 0) + 1,
      started_at: known?.started_at ?? this.#deps.now(),
    }
    this.#interrupted.delete(plan.key)
    this.#rows.set(plan.key, row)
    if (!plan.repeatable) {
      this.#put(row)
      await this.flush()
    }
    let value: T
    let output: Uint8Array
    try {
      value = await body(row.attempts)
      output = this.#seal(plan.key, value)
    } catch (error) {
      await this.#failed(row, plan, error)
      throw error
    }
    this.#results.set(plan.key, value)
    this.#put({ ...row, state: 'done', output, finished_at: this.#deps.now() })
    await this.#settle(plan)
    return value
  }

  async #failed(row: StepRow, plan: StepPlan, error: unknown): Promise<void> {
    const { code, message } = asVestryError(error)
    if (this.#closed || this.#held.signal.aborted || GIVEN_UP.has(code)) {
      // Whether it happened nobody knows now; one that can be repeated will be.
      if (plan.repeatable) this.#rows.delete(plan.key)
      return
    }
    let output: Uint8Array | null = null
    try {
      output = this.#seal(plan.key, message)
    } catch {
      // The code alone is told then.
    }
    this.#put({
      ...row,
      state: 'failed',
      error_code: code,
      output,
      finished_at: this.#deps.now(),
    })
    await this.#settle(plan)
  }

  async #unknown(row: StepRow): Promise<never> {
    const error = new VestryError(
      'OUTCOME_UNKNOWN',
      'It was begun before a crash, and nobody knows whether it happened',
    )
    this.#put({ ...row, state: 'failed', error_code: error.code, finished_at: this.#deps.now() })
    await this.flush()
    throw error
  }

  /** On disk now, or soon. */
  async #settle({ repeatable }: StepPlan): Promise<void> {
    if (!repeatable) return this.flush()
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      // Whoever must know that it is on disk asks for it, and hears why it is not.
      this.flush().catch(() => undefined)
    }, BEHIND_MS)
  }

  async #write(): Promise<void> {
    const keys = this.#unsaved
    this.#unsaved = new Set()
    const rows = [...keys].flatMap((key) => this.#rows.get(key) ?? [])
    try {
      this.#assertOpen()
      const held = await writeSteps(this.#deps.store, this.#held, rows)
      if (!held) throw lost()
    } catch (error) {
      if (!this.#closed) for (const key of keys) this.#unsaved.add(key)
      throw error
    } finally {
      this.#writing = undefined
    }
  }

  #put(row: StepRow): void {
    if (!this.#rows.has(row.key) && this.#rows.size >= MAX_STEPS)
      throw new VestryError('QUEUE_FULL', `An execution has at most ${MAX_STEPS} steps`)
    this.#rows.set(row.key, row)
    this.#unsaved.add(row.key)
  }

  #newRow({ key, kind, repeatable }: StepPlan): StepRow {
    if (Buffer.byteLength(key) > MAX_KEY_BYTES)
      throw new VestryError('INVALID_PARAMS', `The key of a step takes ${MAX_KEY_BYTES} bytes`)
    return {
      execution_id: this.#held.id,
      key,
      kind,
      state: 'sent',
      repeatable: repeatable ? 1 : 0,
      attempts: 0,
      error_code: null,
      output: null,
      run_at: null,
      started_at: this.#deps.now(),
      finished_at: null,
    }
  }

  #resultOf(row: StepRow): unknown {
    if (this.#results.has(row.key)) return this.#results.get(row.key)
    const value = row.output === null ? undefined : this.#open(row.key, row.output)
    this.#results.set(row.key, value)
    return value
  }

  #errorOf({ key, error_code: code, output }: StepRow): VestryError {
    const message = output === null ? undefined : this.#open(key, output)
    return new VestryError(
      (code ?? 'INTERNAL_ERROR') as ErrorCode, // only codes are ever stored
      typeof message === 'string' ? message : undefined,
    )
  }

  #seal(key: string, value: unknown): Uint8Array {
    const content = Buffer.from(JSON.stringify(value ?? null), 'utf8')
    if (content.length > MAX_OUTPUT_BYTES)
      throw new VestryError('RESPONSE_TOO_LARGE', `A step keeps at most ${MAX_OUTPUT_BYTES} bytes`)
    return sealRecord(this.#deps.keys(), placeOf(this.#held.id, key), content)
  }

  #open(key: string, sealed: Uint8Array): unknown {
    return openOutput(this.#deps, { execution_id: this.#held.id, key, output: sealed })
  }

  async #until(atMs: number): Promise<void> {
    const { signal } = this.#held
    for (;;) {
      const leftMs = atMs - this.#deps.now()
      if (leftMs <= 0) return
      await delay(Math.min(leftMs, 60_000), undefined, { signal }).catch(() => undefined)
      signal.throwIfAborted()
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw lost()
    this.#held.signal.throwIfAborted()
  }
}

function toRecord(row: StepRow): StepRecord {
  return {
    key: row.key,
    kind: row.kind,
    state: row.state,
    attempts: row.attempts,
    errorCode: (row.error_code ?? undefined) as ErrorCode | undefined,
    startedAtMs: row.started_at,
    finishedAtMs: row.finished_at ?? undefined,
    notBeforeMs: row.state === 'waiting' ? (row.run_at ?? undefined) : undefined,
  }
}

function lost(): VestryError {
  return new VestryError('CONFLICT', 'The execution has ended or is run by somebody else by now')
}

/** Rows of the table `execution` and the executions they stand for. The two sealed columns stay apart. */
import type { ErrorCode } from '@vestry/contract/errors'
import { type Insertable, sql } from 'kysely'
import type { PointRow } from '../store/engine.ts'
import type { Tables } from '../store/schema.ts'
import type { Execution, NewExecution, Outcome } from './execution.ts'

export const EXECUTION_COLUMNS = [
  'id',
  'kind',
  'key',
  'fingerprint',
  'agent_id',
  'subject',
  'mode',
  'repeatable',
  'state',
  'reached',
  'owner',
  'attempts',
  'error_code',
  'created_at',
  'started_at',
  'finished_at',
  'expires_at',
] as const

export type ExecutionRow = PointRow<'execution', (typeof EXECUTION_COLUMNS)[number]>

export function toExecution(row: ExecutionRow): Execution {
  return {
    id: row.id,
    kind: row.kind,
    key: row.key ?? undefined,
    fingerprint: row.fingerprint ?? undefined,
    agentId: row.agent_id,
    subject: row.subject,
    mode: row.mode,
    repeatable: row.repeatable === 1,
    state: row.state,
    owned: row.owner !== null,
    reached: row.reached === 1,
    errorCode: (row.error_code ?? undefined) as ErrorCode | undefined, // only codes are ever stored
    attempts: row.attempts,
    createdAtMs: row.created_at,
    startedAtMs: row.started_at ?? undefined,
    finishedAtMs: row.finished_at ?? undefined,
    expiresAtMs: row.expires_at ?? undefined,
  }
}

/** Who holds it, and until when others leave it alone. */
export interface Lease {
  readonly owner: string
  readonly untilMs: number
}

/** @param input Sealed. */
export function newRow(
  execution: NewExecution,
  input: Uint8Array | null,
  lease: Lease,
  nowMs: number,
): Insertable<Tables['execution']> & ExecutionRow {
  const inline = execution.mode === 'inline'
  return {
    id: execution.id,
    kind: execution.kind,
    key: execution.key ?? null,
    fingerprint: execution.fingerprint ?? null,
    agent_id: execution.agentId,
    subject: execution.subject,
    mode: execution.mode,
    repeatable: execution.repeatable ? 1 : 0,
    state: inline && execution.sent === true ? 'sent' : 'reserved',
    reached: 0,
    owner: inline ? lease.owner : null,
    owner_until: inline ? lease.untilMs : null,
    attempts: inline ? 1 : 0,
    run_at: inline ? nowMs : (execution.runAtMs ?? nowMs),
    retain_ms: execution.retainMs,
    input,
    output: null,
    error_code: null,
    created_at: nowMs,
    started_at: inline ? nowMs : null,
    finished_at: null,
    expires_at: null,
  }
}

/** What an outcome writes. An ended one is nobody's, needs its input no more and is kept for its time. */
export function outcomeColumns(outcome: Outcome, nowMs: number) {
  const free = { state: outcome.state, owner: null, owner_until: null }
  if (outcome.state === 'reserved')
    return { ...free, ...(outcome.runAtMs !== undefined && { run_at: outcome.runAtMs }) }
  return {
    ...free,
    reached: outcome.state === 'failed' && outcome.reached ? 1 : 0,
    error_code: 'errorCode' in outcome ? outcome.errorCode : null,
    input: null,
    finished_at: nowMs,
    expires_at: sql<number>`retain_ms + ${nowMs}`,
  }
}

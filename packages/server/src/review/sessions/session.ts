/** A review as it is kept, and as the wire shows it. Pure. */
import type { RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Finding, Severity } from '../analysis/finding.ts'
import { indexText } from '../index-text.ts'
import { documentOf } from '../normalise.ts'
import type { ToolDocument } from '../tool-document.ts'
import { type Position, PRIORITIES, type Priority, type State, type Status } from './machine.ts'
import type { ChainHead } from './transition-chain.ts'

/** What the analysis found, in numbers. */
export type FindingCounts = Readonly<Record<Severity, number>>

export interface Summary {
  readonly riskScore: number
  readonly findings: FindingCounts
}

/** A person's decision, or that of a rule of the configuration. */
export interface Decided {
  readonly id: string
  readonly decision: string
  readonly reviewerId: string | undefined
  readonly comments: string | undefined
  readonly atMs: number
}

/** What is kept beside the position and has no column of its own. */
export interface SessionFacts {
  readonly chain: ChainHead
  /** Who submitted it, as the log names them. */
  readonly submittedActor: string
  /** Why, where nobody typed it in. */
  readonly reason: string | undefined
  /** Begun since it was last queued by somebody. */
  readonly attempts: number
  /** The process that analyses it. */
  readonly runner: string | undefined
  /** What went wrong in the last analysis. */
  readonly failure: string | undefined
  readonly summary: Summary | undefined
  readonly decided: Decided | undefined
}

export interface Session extends Position, SessionFacts {
  readonly id: string
  /** Canonical text of the tool. */
  readonly toolJson: string
  readonly schemaHash: string
  readonly toolName: string
  readonly providerName: string
  readonly submittedBy: string
  /** Agent whose key submitted it; `''` where administrators alone may see it. */
  readonly owner: string
  readonly beforeJson: string | undefined
  readonly version: number
  readonly submittedAtMs: number
  readonly updatedAtMs: number
  readonly analysedAtMs: number | undefined
  readonly decidedAtMs: number | undefined
}

type Row = Tables['review']

export function sealSession(session: Session, guard: RowGuard): Row {
  const { id, state, chain, submittedActor, reason, attempts, runner, failure, summary, decided } =
    session
  const kept = { state, chain, submittedActor, reason, attempts, runner, failure, summary, decided }
  const row = {
    id,
    tool_json: session.toolJson,
    tool_name: indexText(session.toolName),
    provider_name: indexText(session.providerName),
    schema_hash: session.schemaHash,
    submitted_by: session.submittedBy,
    submitted_by_key: authorKey(session.submittedBy),
    owner: session.owner,
    priority: PRIORITIES.indexOf(session.priority),
    status: session.status,
    state_json: JSON.stringify(kept),
    before_json: session.beforeJson ?? null,
    version: session.version,
    submitted_at: session.submittedAtMs,
    updated_at: session.updatedAtMs,
    analysed_at: session.analysedAtMs ?? null,
    decided_at: session.decidedAtMs ?? null,
  }
  return { ...row, mac: guard.mac('review', id, row) }
}

/** @throws VestryError STORE_CORRUPT for a row that we did not write. */
export function openSession({ mac, ...row }: Row, guard: RowGuard): Session {
  guard.check('review', row.id, row, mac)
  // We wrote all of it, says the MAC. Members that were undefined are absent, which reads the same.
  const kept = JSON.parse(row.state_json) as SessionFacts & { state: State }
  return {
    ...kept,
    id: row.id,
    status: row.status as Status,
    priority: PRIORITIES[row.priority] ?? 'normal',
    toolJson: row.tool_json,
    schemaHash: row.schema_hash,
    toolName: row.tool_name,
    providerName: row.provider_name,
    submittedBy: row.submitted_by,
    owner: row.owner,
    beforeJson: row.before_json ?? undefined,
    version: row.version,
    submittedAtMs: row.submitted_at,
    updatedAtMs: row.updated_at,
    analysedAtMs: row.analysed_at ?? undefined,
    decidedAtMs: row.decided_at ?? undefined,
  }
}

/** Authors are found whatever the case of their letters. */
export function authorKey(text: string): string {
  return indexText(text.toLowerCase())
}

/** Members in the order people read them; numbers as they were written. */
export function toolBody({
  name,
  description,
  schema,
  provider,
}: ToolDocument): Record<string, unknown> {
  return { name, description, schema, provider }
}

/** @param critical Its findings of severity high and critical. */
export function sessionBody(
  session: Session,
  about: { critical: readonly Finding[]; estimatedCompletionMs: number | undefined },
): Record<string, unknown> {
  const { state, summary, decided, reason, failure } = session
  return {
    review_id: session.id,
    tool: toolBody(documentOf(session.toolJson)),
    status: session.status,
    state: {
      type: state.type,
      analysis_id: state.analysisId ?? null,
      analysis_completed_at: timeText(state.analysisCompletedAtMs),
      critical_findings: about.critical,
      human_reviewer_id: state.reviewerId ?? null,
      review_started_at: timeText(state.reviewStartedAtMs),
      ...(failure !== undefined && { failure }),
    },
    submitted_by: session.submittedBy,
    submitted_at: timeText(session.submittedAtMs),
    estimated_completion: timeText(about.estimatedCompletionMs),
    priority: session.priority satisfies Priority,
    schema_hash: session.schemaHash,
    ...(reason !== undefined && { reason }),
    ...(summary !== undefined && {
      risk_score: summary.riskScore,
      finding_counts: summary.findings,
    }),
    ...(decided !== undefined && { decision: decisionBody(decided) }),
  }
}

export function decisionBody({
  id,
  decision,
  reviewerId,
  comments,
  atMs,
}: Decided): Record<string, unknown> {
  return {
    decision_id: id,
    decision,
    reviewer_id: reviewerId ?? null,
    comments: comments ?? null,
    decided_at: timeText(atMs),
  }
}

export function countFindings(findings: readonly Pick<Finding, 'severity'>[]): FindingCounts {
  const counts = { critical: 0, high: 0, medium: 0, low: 0 }
  for (const { severity } of findings) counts[severity] += 1
  return counts
}

export function timeText(ms: number): string
export function timeText(ms: number | undefined): string | null
export function timeText(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

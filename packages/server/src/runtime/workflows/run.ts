/** One run of a workflow: what is known of it, and how it looks from outside. */
import type { VestryError } from '@vestry/contract/errors'
import type { Caller } from '../../identity/caller.ts'
import type { Definition } from './definition.ts'
import type { StepView } from './walk.ts'

export const RUN_STATUSES = [
  'pending',
  'running',
  'completed',
  'failed',
  'cancelled',
  'timeout',
] as const
export type RunStatus = (typeof RUN_STATUSES)[number]
export type EndStatus = Exclude<RunStatus, 'pending' | 'running'>

/** Names and numbers only. */
export interface RunFacts {
  readonly actor: string
  readonly requestId: string
  /** Of the run's own span. */
  readonly traceparent: string
  /** Of the call that started it. */
  readonly parentSpanId?: string
  /** SHA-256 of who asked for what: the key it was started with is bound to it. */
  readonly asked?: string
  readonly error?: { readonly step?: string; readonly code: string }
}

export interface WorkflowRun {
  readonly id: string
  readonly workflowId: string
  readonly agentId: string | undefined
  readonly status: RunStatus
  readonly trigger: string
  readonly facts: RunFacts
  /** Epoch ms. */
  readonly createdAt: number
  readonly startedAt: number | undefined
  readonly finishedAt: number | undefined
}

/** Sealed at rest. */
export interface RunContent {
  readonly definition: Definition | undefined
  /** Instead of a definition: DSL. */
  readonly source?: string
  readonly params: Readonly<Record<string, unknown>>
  /** Whose run it is, if no agent's. */
  readonly operator?: Extract<Caller['principal'], { kind: 'operator' }>['operator']
  readonly holds?: readonly string[]
  readonly agentName?: string
  readonly result?: Readonly<Record<string, unknown>> | null
  readonly steps?: readonly StepView[]
  readonly error?: RunError
}

export interface RunError {
  readonly step?: string
  readonly code: string
  readonly message: string
  /** All that is wrong with a source, where the message has no room for it. */
  readonly details?: readonly string[]
}

const MAX_DETAILS = 100

export function hasEnded({ status }: Pick<WorkflowRun, 'status'>): boolean {
  return status !== 'pending' && status !== 'running'
}

export function errorOf({ code, message, context }: VestryError, step?: string): RunError {
  const errors = code === 'DSL_INVALID' ? context?.['errors'] : undefined
  return {
    ...(step !== undefined && { step }),
    code,
    message,
    ...(Array.isArray(errors) && { details: errors.slice(0, MAX_DETAILS).map(String) }),
  }
}

/** `WorkflowExecutionResponse` and what is said beyond it. */
export function runBody(
  run: WorkflowRun,
  content: RunContent | undefined,
  steps: readonly StepView[],
): Record<string, unknown> {
  return {
    execution_id: run.id,
    status: run.status,
    started_at: iso(run.startedAt ?? run.createdAt),
    result: run.status === 'completed' ? (content?.result ?? {}) : null,
    completed_at: run.finishedAt === undefined ? null : iso(run.finishedAt),
    workflow_id: run.workflowId,
    agent_id: content?.agentName ?? null,
    steps: steps.map(stepBody),
    error: content?.error ?? run.facts.error ?? null,
  }
}

export function stepBody(view: StepView): Record<string, unknown> {
  return {
    id: view.id,
    kind: view.kind,
    status: view.status,
    started_at: iso(view.startedAtMs),
    duration_ms: view.durationMs,
    output: view.output ?? null,
    error: view.error ?? null,
  }
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** Steps of a run that nobody works on at the moment, as they are on disk. */
import type { StepRecord } from '../../journal/step.ts'
import { type StepsDeps, storedSteps } from '../../journal/steps.ts'
import { STEP_KINDS, type StepKind } from './definition.ts'
import { revived, shown } from './step-values.ts'
import type { StepView } from './walk.ts'

/** @throws VestryError VAULT_LOCKED, STORE_UNAVAILABLE, SEAL_BROKEN */
export async function storedViews(deps: StepsDeps, id: string): Promise<readonly StepView[]> {
  const stored = await storedSteps(deps, id)
  // Parts of steps, and what a subworkflow was when it began, are no steps of their own.
  return stored.flatMap(({ record, value }) =>
    isOwn(record) ? [viewOf(record, value, deps.now())] : [],
  )
}

function isOwn({ key, kind }: StepRecord): boolean {
  return !key.endsWith('/') && !key.endsWith(']') && (isKind(kind) || kind === 'wait')
}

function isKind(kind: string): kind is StepKind {
  return (STEP_KINDS as readonly string[]).includes(kind)
}

function viewOf(record: StepRecord, value: unknown, nowMs: number): StepView {
  const { key: id, kind, state, startedAtMs, finishedAtMs = nowMs, errorCode } = record
  const status = {
    sent: 'running',
    done: 'completed',
    failed: 'failed',
    waiting: 'waiting',
  } as const
  return {
    id,
    kind: isKind(kind) ? kind : 'delay',
    status: status[state],
    startedAtMs,
    durationMs: Math.max(0, finishedAtMs - startedAtMs),
    ...(state === 'done' && { output: shown(revived(kind, value)) }),
    ...(state === 'failed' && {
      error: {
        code: errorCode ?? 'INTERNAL_ERROR',
        message: typeof value === 'string' ? value : '',
      },
    }),
  }
}

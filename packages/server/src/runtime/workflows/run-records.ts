/** What the audit log keeps of runs and their steps, each with the span that its parts hang below. */
import { asVestryError } from '@vestry/contract/errors'
import type { Stations } from '../../call/perform.ts'
import { actorOf, type Caller } from '../../identity/caller.ts'
import type { Trace } from '../../identity/traceparent.ts'
import type { EndStatus, RunContent, WorkflowRun } from './run.ts'
import { type RunContext, stepCaller } from './step-bodies.ts'
import type { StepCall } from './walk.ts'

/** @param work Is given a caller below the span of the step. */
export async function recordedStep<T>(
  { audit, now }: Pick<Stations, 'audit' | 'now'>,
  context: RunContext,
  call: Pick<StepCall, 'kind' | 'key'>,
  work: (caller: Caller) => Promise<T>,
): Promise<T> {
  const caller = stepCaller(context)
  const startedMs = now()
  let code = 'OK'
  try {
    return await work(stepCaller({ ...context, caller }))
  } catch (error) {
    code = asVestryError(error).code
    throw error
  } finally {
    const { principal, trace, txn } = caller
    await audit.append(
      {
        action: 'workflow.step',
        phase: 'single',
        detail: `workflow.step ${call.key}`,
        success: code === 'OK',
        actor: actorOf(principal),
        source: 'runtime',
        ...(principal.kind === 'agent' && { agent: principal.agent.name }),
        txn,
        span: spanOf(trace),
        data: {
          workflow: context.workflowId,
          execution: context.id,
          step: call.key,
          kind: call.kind,
        },
        outcome: { code, duration_ms: now() - startedMs },
      },
      'written',
    )
  }
}

export async function recordRunEnd(
  { audit, now }: Pick<Stations, 'audit' | 'now'>,
  run: WorkflowRun,
  status: EndStatus,
  { agentName, error, steps = [] }: RunContent,
): Promise<void> {
  await audit.append(
    {
      action: 'workflow.end',
      phase: 'single',
      detail: `workflow.end ${run.workflowId}`,
      success: status === 'completed',
      actor: run.facts.actor,
      source: 'runtime',
      ...(agentName !== undefined && { agent: agentName }),
      txn: run.id,
      span: spanOf(runTrace(run)),
      data: {
        workflow: run.workflowId,
        execution: run.id,
        status,
        steps: steps.length,
        ...(error?.step !== undefined && { step: error.step }),
      },
      outcome: {
        code: error?.code ?? 'OK',
        duration_ms: now() - (run.startedAt ?? run.createdAt),
      },
    },
    'written',
  )
}

/** The same after a restart: what was recorded before hangs below it, too. */
export function runTrace({ facts }: Pick<WorkflowRun, 'facts'>): Trace {
  const [, traceId = '', spanId = ''] = facts.traceparent.split('-') // we wrote it
  return { traceId, spanId, parentSpanId: facts.parentSpanId ?? '' }
}

function spanOf({ traceId, spanId, parentSpanId }: Trace) {
  return { trace_id: traceId, span_id: spanId, parent_span_id: parentSpanId }
}

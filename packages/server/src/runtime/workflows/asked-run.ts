/** The run that comes of what somebody asked for. */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { actorOf } from '../../identity/caller.ts'
import { formatTraceparent, newTrace } from '../../identity/traceparent.ts'
import type { RunContent, WorkflowRun } from './run.ts'
import type { AskedWorkflow } from './workflow-starter.ts'

type Facts = WorkflowRun['facts']

/** The run has a span of its own, below that of the call. */
export function factsOf({ caller, as, requestId, workflowId, params }: AskedWorkflow): Facts {
  const actor = actorOf(caller.principal)
  const trace = newTrace(formatTraceparent(caller.trace))
  return {
    actor,
    requestId,
    traceparent: formatTraceparent(trace),
    parentSpanId: trace.parentSpanId,
    asked: hash('sha256', canonicalJson({ actor, as: as?.id ?? null, workflowId, params })),
  }
}

export function runOf(
  { caller: { principal }, as, trigger }: AskedWorkflow,
  { id, name, nowMs, facts }: { id: string; name: string; nowMs: number; facts: Facts },
): WorkflowRun {
  return {
    id,
    workflowId: name,
    agentId: as?.id ?? (principal.kind === 'agent' ? principal.agent.id : undefined),
    status: 'pending',
    trigger,
    facts,
    createdAt: nowMs,
    startedAt: undefined,
    finishedAt: undefined,
  }
}

export function ownerOf({
  caller: { principal, holds },
  as,
}: AskedWorkflow): Pick<RunContent, 'operator' | 'agentName' | 'holds'> {
  if (as !== undefined) return { agentName: as.name }
  return {
    ...(principal.kind === 'operator'
      ? { operator: principal.operator }
      : { agentName: principal.agent.name }),
    ...(holds !== undefined && { holds }),
  }
}

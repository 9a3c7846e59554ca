/** What steps wait for: signals, and the yes of an operator. */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { type BodyDeps, open, type RunContext, text } from './step-bodies.ts'
import { plain } from './step-values.ts'
import type { StepCall } from './walk.ts'

export const APPROVE = 'workflow:approve'

/** Names the run, so that whoever hears of a decision knows whom to wake. */
function approvalResource({ id, workflowId }: Pick<RunContext, 'id' | 'workflowId'>): string {
  return `workflow/${workflowId}/${id}`
}

export function runOfApproval(resource: string): string {
  return resource.slice(resource.lastIndexOf('/') + 1)
}

/** What a step waits for, if it has come. @throws VestryError ACCESS_DENIED for a no. */
export async function came(
  deps: BodyDeps,
  run: RunContext,
  { kind, key, given }: Omit<StepCall, 'signal'>,
): Promise<{ readonly value: unknown } | undefined> {
  if (kind === 'delay') return undefined
  if (kind === 'wait_for_signal') return deps.signalled(run.id, text(given, 'name'))
  const { principal } = run.caller
  const who = principal.kind === 'agent' ? principal.agent : principal.operator
  const resource = approvalResource(run)
  // A yes is one to what the step says now.
  const params = { execution: run.id, step: key, given: plain(open(given)) }
  const asked = await deps.approvals.asked({
    agent_id: who.id,
    action: APPROVE,
    resource,
    params_digest: hash('sha256', canonicalJson(params)),
  })
  if (asked === undefined) {
    await deps.approvals.submit({
      agentId: who.id,
      agentName: who.name,
      summary: text(given, 'summary').slice(0, 500),
      reason: typeof given['reason'] === 'string' ? given['reason'].slice(0, 256) : undefined,
      action: APPROVE,
      resource,
      params,
      policies: ['workflow'],
    })
    return undefined
  }
  if (asked.state === 'denied')
    throw new VestryError('ACCESS_DENIED', 'An operator denied it', {
      context: { approval_id: asked.id },
    })
  if (asked.state === 'pending' && asked.expires_at <= deps.now())
    throw new VestryError('DEADLINE_EXCEEDED', 'No operator decided in time', {
      context: { approval_id: asked.id },
    })
  if (asked.state !== 'allowed') return undefined
  return { value: { approval_id: asked.id, decided_by: asked.decided_by } }
}

/** Accepts a call that is to run later (gateway contract §8.2): after every check, and charged for. */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import type { Execution as Journaled } from '../../journal/execution.ts'
import { AlreadyReserved, conflict, isRepeatable, retainMs } from '../call/duplicates.ts'
import type { Identity } from '../call/idempotency.ts'
import { executionTag, keyData, newExecutionId, protectedCall } from '../call/run-call.ts'
import { prepareCall, requestLimit, type ToolCall } from '../call/tool-call.ts'
import { type Gateway, JOURNAL_KIND } from '../gateway.ts'
import { jobInput } from './job-input.ts'
import { type Submitted, statusOf } from './job-status.ts'

/** @throws VestryError as a synchronous call would, and QUEUE_FULL. */
export async function submitJob(
  gateway: Gateway,
  call: ToolCall,
  identity: Identity,
): Promise<Submitted> {
  const known =
    identity.key === undefined ? undefined : await gateway.journal.find(JOURNAL_KIND, identity.key)
  if (known !== undefined && !isGone(known)) return submitted(gateway, identity, known)
  const prepared = prepareCall(gateway, call)
  const retain = Math.max(
    retainMs(gateway, identity),
    gateway.settings.job_result_ttl_seconds * 1_000,
  )
  const accepted = perform<Submitted>(gateway.stations, {
    ...protectedCall(gateway, prepared),
    event: 'tool.submit',
    limits: requestLimit(gateway.settings, { dev: gateway.dev, agentId: call.agentId }),
    data: { ...prepared.data, ...keyData(identity) },
    settle: () => ({
      unused: () => true, // nothing was accepted, so nothing was used
      effect: async (note, charged) => {
        const { found } = prepared
        if (found === undefined) throw new VestryError('UNKNOWN_TOOL')
        const reserved = await gateway.journal.reserve({
          id: newExecutionId(),
          kind: JOURNAL_KIND,
          ...(identity.key !== undefined && { key: identity.key }),
          fingerprint: identity.fingerprint,
          agentId: call.agentId,
          subject: `${call.tool}:${call.action}`,
          mode: 'queued',
          repeatable: isRepeatable(found.action, identity),
          input: jobInput(call, charged),
          retainMs: retain,
        })
        const { id } = reserved.execution
        note({ job: executionTag(gateway, id) })
        if (reserved.state === 'known') throw new AlreadyReserved(reserved.execution)
        return { id, status: 'queued', expiresAtMs: gateway.now() + retain }
      },
    }),
  })
  return accepted.catch((error: unknown) => {
    if (!(error instanceof AlreadyReserved)) throw error
    return submitted(gateway, identity, error.execution) // another node was quicker
  })
}

/** It ended before it reached anybody, or may run twice: the next submission runs anew. */
function isGone({ state, reached, repeatable }: Journaled): boolean {
  return state === 'failed' && (!reached || repeatable)
}

function submitted(gateway: Gateway, { fingerprint }: Identity, known: Journaled): Submitted {
  if (known.fingerprint !== fingerprint) throw conflict()
  return {
    id: known.id,
    status: statusOf(known),
    expiresAtMs:
      known.expiresAtMs ?? gateway.now() + gateway.settings.job_result_ttl_seconds * 1_000,
  }
}

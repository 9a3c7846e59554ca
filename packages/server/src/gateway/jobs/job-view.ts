/** Jobs as whoever knows their id reads them, and how they are called off (gateway contract §8.3). */
import { asVestryError, ERRORS, VestryError } from '@vestry/contract/errors'
import type { Execution as Journaled } from '../../journal/execution.ts'
import { readStored } from '../call/outcome.ts'
import { type Gateway, JOURNAL_KIND } from '../gateway.ts'
import { errorReply } from '../wire/error-body.ts'
import { readJobInput } from './job-input.ts'
import { statusOf } from './job-status.ts'

const ID = /^[A-Za-z0-9_-]{16,128}$/

/**
 * The job as its clients read it.
 *
 * @param agentId Of the token that was presented, if any: it must be the job's own.
 * @throws VestryError JOB_NOT_FOUND, the same for every reason.
 */
export async function readJob(
  gateway: Gateway,
  id: string,
  agentId?: string,
): Promise<Record<string, unknown>> {
  void gateway.seal.keys
  const found = await findJob(gateway, id, agentId)
  const status = statusOf(found)
  const ended = status === 'done' || status === 'failed'
  const bytes = ended ? await gateway.journal.output(found.id) : undefined
  const stored = bytes === undefined ? undefined : readStored(bytes)
  const [tool = '', action = ''] = found.subject.split(':')
  return {
    job_id: found.id,
    status,
    result: stored !== undefined && 'data' in stored ? stored.data : null,
    error: null,
    ...(status === 'failed' && failure(gateway, found, stored)),
    metadata: stored?.metadata ?? { agent_id: found.agentId, tool, action },
    created_at: iso(found.createdAtMs),
    started_at: iso(found.startedAtMs),
    finished_at: iso(found.finishedAtMs),
    expires_at: iso(found.expiresAtMs),
  }
}

/** What it was charged is given back. @returns whether it will not run. @throws VestryError JOB_NOT_FOUND */
export async function cancelJob(gateway: Gateway, id: string, agentId: string): Promise<boolean> {
  const found = await findJob(gateway, id, agentId)
  const input = await gateway.journal.input(found.id)
  const cancelled = await gateway.journal.cancel(found.id, 'CANCELLED')
  if (cancelled && input !== undefined)
    await gateway.stations.limits.refund(readJobInput(input).charged)
  return cancelled
}

async function findJob(gateway: Gateway, id: string, agentId?: string): Promise<Journaled> {
  const found = ID.test(id) ? await gateway.journal.get(id) : undefined
  const expired = found?.expiresAtMs !== undefined && found.expiresAtMs <= gateway.now()
  const foreign = agentId !== undefined && found?.agentId !== agentId
  if (found === undefined || found.kind !== JOURNAL_KIND || expired || foreign)
    throw new VestryError('JOB_NOT_FOUND')
  return found
}

function failure(
  gateway: Gateway,
  { errorCode, state }: Journaled,
  stored: ReturnType<typeof readStored> | undefined,
): Record<string, unknown> {
  const code = errorCode ?? (state === 'unknown' ? 'OUTCOME_UNKNOWN' : 'INTERNAL_ERROR')
  const error =
    stored !== undefined && 'error' in stored
      ? stored.error
      : asVestryError(new VestryError(code, ERRORS[code].message))
  const { body, status } = errorReply(error, '', {
    denialStatus: gateway.settings.policy_denial_status,
  })
  return { error: String(body['error']), error_code: body['code'], error_status: status }
}

function iso(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

/**
 * Asynchronous calls (gateway contract §8): accepted after every check, kept in the journal, decided again right
 * before they run, and read by whoever knows their id.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { asVestryError, ERRORS, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { perform } from '../call/perform.ts'
import { newCaller } from '../identity/caller.ts'
import type { Execution as Journaled } from '../journal/execution.ts'
import type { Held, Runner } from '../journal/held.ts'
import type { WindowCharge } from '../limits/window.ts'
import { type Gateway, JOURNAL_KIND } from './gateway.ts'
import type { Identity } from './idempotency.ts'
import type { Intent } from './intent.ts'
import { type Answer, type Metadata, readStored, storedError } from './outcome.ts'
import {
  AlreadyReserved,
  conflict,
  effectOf,
  executionTag,
  isBrokenOff,
  isRepeatable,
  keyData,
  newExecutionId,
  protectedCall,
  retainMs,
  usedCredential,
} from './proxy.ts'
import { prepareCall, requestLimit, type TokenClaims, type ToolCall } from './tool-call.ts'
import type { JsonObject } from './tools/tool.ts'
import { errorReply } from './wire/error-body.ts'

const ID = /^[A-Za-z0-9_-]{16,128}$/

export interface Submitted {
  readonly id: string
  readonly status: JobStatus
  /** Epoch ms; when the result is forgotten if the job ended now. */
  readonly expiresAtMs: number
}

export type JobStatus = 'queued' | 'running' | 'done' | 'failed'

/** What a job needs to be decided and run later, perhaps by another process. */
interface JobInput {
  readonly v: 1
  /** The row names it too, but only this is sealed. */
  readonly agentId: string
  readonly correlationId: string
  readonly traceparent: string
  readonly txn: string
  readonly address: string
  readonly agentName: string
  readonly tool: string
  readonly action: string
  readonly params: JsonObject
  readonly intent: Intent
  readonly token: TokenClaims
  readonly idempotencyKey?: string
  /** What accepting it used up; given back should the provider never hear of it. */
  readonly charged: readonly WindowCharge[]
}

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
          input: Buffer.from(JSON.stringify(inputOf(call, charged))),
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

function inputOf(call: ToolCall, charged: readonly WindowCharge[]): JobInput {
  const { caller, idempotencyKey } = call
  return {
    v: 1,
    agentId: call.agentId,
    correlationId: call.correlationId,
    traceparent: `00-${caller.trace.traceId}-${caller.trace.spanId}-01`,
    txn: caller.txn,
    address: caller.peer.address ?? '',
    agentName: call.agentName,
    tool: call.tool,
    action: call.action,
    params: call.params,
    intent: call.intent,
    token: call.token,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    charged,
  }
}

function readInput(bytes: Uint8Array): JobInput {
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as JobInput // sealed by us
}

/** Runs queued jobs. What the chain refuses now, the job fails with. */
export function jobRunner(gateway: Gateway): Runner {
  const { settings } = gateway
  return {
    concurrency: settings.job_concurrency,
    queueMax: settings.job_queue_max,
    run: async (held, signal) => {
      try {
        await runJob(gateway, held, signal)
      } catch (error) {
        // Not an end: it runs again, or counts as unknown, once the vault is open again.
        if (isBrokenOff(gateway, signal)) throw new VestryError('SHUTTING_DOWN')
        gateway.metrics.job('failed')
        if (asVestryError(error).code === 'INTERNAL_ERROR')
          gateway.onInternalError(`a job of ${held.subject}`, error)
        throw error
      }
      gateway.metrics.job('done')
    },
  }
}

/** Conditions of ours that pass: a job waits them out. */
const PASSING: ReadonlySet<string> = new Set(['STORE_UNAVAILABLE', 'AUDIT_UNAVAILABLE'])
const WAIT_MS = 1_000
/** A job that takes the process down with it is not begun again and again. */
const MAX_ATTEMPTS = 5

interface JobProgress {
  /** From then on the effect ends its execution itself. */
  begun: boolean
  /** The provider has not heard of it. */
  unused: () => boolean
}

async function runJob(gateway: Gateway, held: Held, signal: AbortSignal): Promise<void> {
  const bytes = await held.input()
  if (bytes === undefined) throw new VestryError('STORE_CORRUPT', 'the job has lost its input')
  const input = readInput(bytes)
  if (input.agentId !== held.agentId)
    throw new VestryError('STORE_CORRUPT', 'the job names another agent than its input')
  if (held.attempt > MAX_ATTEMPTS)
    throw new VestryError('OUTCOME_UNKNOWN', 'it was begun too often')
  const progress: JobProgress = { begun: false, unused: () => true }
  for (;;) {
    try {
      return await decideAndRun(gateway, held, input, signal, progress)
    } catch (error) {
      if (isBrokenOff(gateway, signal)) throw error
      const { code } = asVestryError(error)
      if (!progress.begun && PASSING.has(code)) {
        await wait(WAIT_MS, undefined, { signal })
        continue
      }
      if (!progress.begun) {
        const output = storedError(error, metadataOf(held, input))
        await held.fail({ code, reached: false, output })
      }
      if (progress.unused()) await gateway.stations.limits.refund(input.charged)
      throw error
    }
  }
}

async function decideAndRun(
  gateway: Gateway,
  held: Held,
  input: JobInput,
  signal: AbortSignal,
  progress: JobProgress,
): Promise<void> {
  const call = await callOf(gateway, input)
  const prepared = prepareCall(gateway, call)
  const startedMs = gateway.now()
  await perform<Answer>(gateway.stations, {
    ...protectedCall(gateway, prepared),
    event: 'tool.call',
    accepted: true,
    data: { ...prepared.data, job: executionTag(gateway, held.id) },
    settle: async (decision) => {
      const timeoutMs = prepared.found?.action.timeoutMs ?? 0
      const retryUntilMs = startedMs + timeoutMs
      const settled = effectOf(gateway, prepared, {
        decision,
        held,
        startedMs,
        signal,
        retryUntilMs,
      })
      return {
        ...settled,
        data: await usedCredential(gateway, prepared),
        effect: (note, charged) => {
          progress.begun = true
          progress.unused = () => settled.unused?.(undefined) ?? false
          return settled.effect(note, charged)
        },
      }
    },
  })
}

function metadataOf({ agentId }: Held, { agentName, tool, action }: JobInput): Metadata {
  return {
    agent_id: agentId,
    agent_name: agentName,
    tool,
    action,
    response_time_ms: 0,
    cached: false,
  }
}

/** Who asked then must still be allowed to ask: the token not revoked, the agent active. */
async function callOf(gateway: Gateway, input: JobInput): Promise<ToolCall> {
  const { agentId } = input
  const agent = await gateway.agents.byId(agentId)
  if (agent?.status !== 'enabled') throw new VestryError('AGENT_INACTIVE')
  await gateway.tokens.assertNotRevoked(input.token.id)
  const peer = { transport: 'http' as const, address: input.address }
  const principal = { kind: 'agent' as const, agent }
  return {
    requestId: newRequestId(),
    correlationId: input.correlationId,
    caller: newCaller({ principal, peer, txn: input.txn }, input.traceparent),
    agentId,
    agentName: input.agentName,
    tool: input.tool,
    action: input.action,
    params: input.params,
    intent: input.intent,
    token: input.token,
    idempotencyKey: input.idempotencyKey,
  }
}

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
    await gateway.stations.limits.refund(readInput(input).charged)
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

export function statusOf({ state, owned, startedAtMs }: Journaled): JobStatus {
  if (state === 'done') return 'done'
  if (state === 'failed' || state === 'unknown') return 'failed'
  // What went back to the queue had been begun: a status only moves forward.
  return state === 'sent' || owned || startedAtMs !== undefined ? 'running' : 'queued'
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

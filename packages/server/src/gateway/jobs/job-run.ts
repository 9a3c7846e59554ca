/**
 * Runs accepted jobs (gateway contract §8): each is decided again right before it runs, and waits out what passes.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { perform } from '../../call/perform.ts'
import { newCaller } from '../../identity/caller.ts'
import type { Held, Runner } from '../../journal/held.ts'
import { effectOf, isBrokenOff } from '../call/call-effect.ts'
import { type Answer, type Metadata, storedError } from '../call/outcome.ts'
import { executionTag, protectedCall, usedCredential } from '../call/run-call.ts'
import { prepareCall, type ToolCall } from '../call/tool-call.ts'
import type { Gateway } from '../gateway.ts'
import { type JobInput, readJobInput } from './job-input.ts'

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
  const input = readJobInput(bytes)
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
    reason: input.reason,
    token: input.token,
    idempotencyKey: input.idempotencyKey,
  }
}

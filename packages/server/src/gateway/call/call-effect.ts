/**
 * What a call does once its intent is recorded: the tool is carried out, and what came of it is durable before
 * anybody hears of it.
 */
import { randomBytes } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Note, Settled } from '../../call/perform.ts'
import type { Held } from '../../journal/held.ts'
import type { Decision } from '../../policy/engine.ts'
import type { Gateway } from '../gateway.ts'
import type { Progress } from './decided-call.ts'
import { outcomeUnknown } from './duplicates.ts'
import { execute } from './execute.ts'
import { type Answer, type Metadata, storedAnswer, storedError } from './outcome.ts'
import type { PreparedCall } from './tool-call.ts'

/** Attempts of one call may begin for this long while somebody waits: clients multiply them by four. */
const RETRY_FOR_MS = 5_000

interface Running {
  readonly decision: Decision
  readonly held: Held | undefined
  readonly startedMs: number
  readonly signal?: AbortSignal
  /** No attempt begins later. */
  readonly retryUntilMs?: number
}

/** What is done once the intent is recorded. */
export function effectOf(
  gateway: Gateway,
  prepared: PreparedCall,
  { decision, held, startedMs, signal, retryUntilMs }: Running,
): Pick<Settled<Answer>, 'effect' | 'unused'> {
  const { call, found, params, resource, context, holdsFor } = prepared
  if (found === undefined) throw new VestryError('UNKNOWN_TOOL')
  const metadata = (cached: boolean): Metadata => ({
    agent_id: call.agentId,
    agent_name: call.agentName,
    tool: call.tool,
    action: call.action,
    response_time_ms: Math.round(gateway.now() - startedMs),
    cached,
  })
  const progress: Progress = { contacted: false, redirected: false }
  const run = async (note: Note): Promise<Answer> => {
    const { data, cached } = await execute({
      gateway,
      caller: call.caller,
      ...found,
      params,
      decision,
      resource,
      context,
      holdsFor,
      request: {
        nowMs: gateway.now(),
        random: randomBytes(16).toString('hex'),
        correlationId: call.correlationId,
        idempotencyKey: call.idempotencyKey,
      },
      retryUntilMs: retryUntilMs ?? startedMs + RETRY_FOR_MS,
      signal,
      onSend: () => held?.sent() ?? Promise.resolve(),
      progress,
      note,
    })
    return { data, metadata: metadata(cached), replayed: false }
  }
  return {
    unused: () => !progress.contacted,
    effect: async (note) => {
      if (held === undefined) return run(note)
      const answer = await run(note).catch(async (error: unknown) => {
        // A job that was broken off has not ended: the journal says what becomes of it.
        if (signal !== undefined && isBrokenOff(gateway, signal)) throw error
        const { code } = asVestryError(error)
        const output = storedError(error, metadata(false))
        // A store that is away gets it later; whoever took the run over knows better.
        const reached = progress.contacted && !TURNED_AWAY.has(code)
        await held.fail({ code, reached, output }).catch(() => undefined)
        throw error
      })
      await finish(held, storedAnswer(answer.data, answer.metadata))
      return answer
    },
  }
}

/** The provider did nothing, and the same request may fare better later: its key is free for that. */
const TURNED_AWAY: ReadonlySet<string> = new Set(['UPSTREAM_RATE_LIMITED', 'UPSTREAM_AUTH'])

/** The vault is being sealed, or the process is about to end. */
export function isBrokenOff({ seal }: Pick<Gateway, 'seal'>, { aborted }: AbortSignal): boolean {
  return aborted || seal.state !== 'unsealed'
}

/** @throws VestryError What a repetition will be told, too, if the run was given up or taken over meanwhile. */
async function finish(held: Held, output: Uint8Array): Promise<void> {
  try {
    await held.finish(output)
  } catch (error) {
    if (asVestryError(error).code !== 'CONFLICT') throw error
    throw held.repeatable ? new VestryError('SHUTTING_DOWN') : outcomeUnknown()
  }
}

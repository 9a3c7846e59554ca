/**
 * The life of one proxied call (gateway contract §7.3): body, token, proof, duplicate, then the chain of stations
 * with the provider as its effect. It goes on when the client hangs up, so that a retry finds its result.
 */
import { randomBytes } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { type Note, type ProtectedCall, perform, type Settled } from '../call/perform.ts'
import type { Correlation } from '../http/correlation.ts'
import { readStrictJson } from '../http/strict-json.ts'
import type { Agent } from '../identity/agent.ts'
import { newCaller } from '../identity/caller.ts'
import { hasEnded, type Execution as Journaled } from '../journal/execution.ts'
import type { Held } from '../journal/held.ts'
import type { Decision } from '../policy/engine.ts'
import { TOOL_RANKS } from '../policy/tool-ranks.ts'
import { hmacTag } from '../seal/hash.ts'
import { type CallBody, readCallBody } from './call-body.ts'
import { execute, notConfigured, type Progress } from './execute.ts'
import { type Gateway, JOURNAL_KIND } from './gateway.ts'
import { type Identity, IMPLICIT_TTL_MS, identityOf } from './idempotency.ts'
import { effectiveIntent } from './intent.ts'
import { type Submitted, submitJob } from './jobs.ts'
import { isConfigured, isMocked } from './mode.ts'
import { type Answer, type Metadata, readStored, storedAnswer, storedError } from './outcome.ts'
import { recordCall } from './record.ts'
import type { AgentProof } from './tokens/signed-request.ts'
import { type PreparedCall, prepareCall, requestLimit, type ToolCall } from './tool-call.ts'
import type { Json } from './tools/tool.ts'

/** The longest a client is kept waiting. */
export const ANSWER_WITHIN_MS = 30_000
/** Attempts of one call may begin for this long while somebody waits: clients multiply them by four. */
const RETRY_FOR_MS = 5_000

export interface ProxyRequest {
  readonly rawBody: Uint8Array
  readonly correlation: Correlation
  /** Remote address. */
  readonly address: string
  /** Header values, undefined where absent. */
  readonly headers: {
    readonly authorization: string | undefined
    readonly idempotencyKey: string | undefined
    readonly intent: string | undefined
    readonly traceparent: string | undefined
  }
  /** What an agent may have signed, and how. */
  readonly signed: {
    readonly method: string
    readonly path: string
    readonly proof: AgentProof
  }
  /** Milliseconds after which an answer is due, whatever still runs. */
  readonly answerWithinMs: number | undefined
  /** What the answer's headers will say, also when it is an error. */
  readonly onToken: (expiresAtMs: number) => void
  /** Names of the tool and action, for the metrics. */
  readonly onNamed: (tool: string, action: string) => void
}

export type ProxyResult =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'job'; readonly job: Submitted }

/** @throws VestryError as gateway contract §4.3 lists them. */
export async function proxy(gateway: Gateway, request: ProxyRequest): Promise<ProxyResult> {
  if (gateway.draining()) throw new VestryError('SHUTTING_DOWN')
  void gateway.seal.keys // throws VAULT_LOCKED before anything else is said
  const body = readCallBody(bodyOf(request))
  request.onNamed(body.tool, body.action)
  const call = await acceptCall(gateway, request, body)
  const identity = identityOf({
    agentId: call.agentId,
    tool: call.tool,
    action: call.action,
    params: call.params,
    bodyKey: body.key,
    headerKey: request.headers.idempotencyKey,
    correlationId: request.correlation.given ? request.correlation.id : undefined,
    rawBody: request.rawBody,
  })
  const keyed = { ...call, idempotencyKey: identity.explicit }
  if (body.queued) return { kind: 'job', job: await submitOnce(gateway, keyed, identity) }
  const landed = joinOrStart(gateway, keyed, identity)
  const answer = await within(landed, request.answerWithinMs ?? ANSWER_WITHIN_MS, gateway.ending)
  return { kind: 'answer', answer }
}

/** The same submission twice at once is one, and is charged once. */
async function submitOnce(
  gateway: Gateway,
  call: ToolCall,
  identity: Identity,
): Promise<Submitted> {
  const { key, fingerprint } = identity
  const flying = key === undefined ? undefined : gateway.submissions.get(key)
  if (flying !== undefined && flying.fingerprint !== fingerprint) throw conflict()
  const landed =
    flying?.landed ??
    gateway.submissions.start(key, fingerprint, () => submitJob(gateway, call, identity))
  return landed
}

function bodyOf({ rawBody, headers }: ProxyRequest): Json {
  const value = readStrictJson(rawBody) as Json
  const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? '')?.[1]
  const isCall = typeof value === 'object' && value !== null && !Array.isArray(value)
  // The token may come where tokens belong, out of the body.
  if (bearer === undefined || !isCall || value['agent_token'] !== undefined) return value
  return { ...value, agent_token: bearer }
}

/** The token and what goes with it; whoever is refused here leaves a record too. */
async function acceptCall(
  gateway: Gateway,
  request: ProxyRequest,
  body: CallBody,
): Promise<ToolCall> {
  const requestId = newRequestId()
  const { correlation, address, headers } = request
  try {
    const accepted = await gateway.tokens.accept(body, address, request.onToken)
    const { agent, row } = accepted
    const { method, path, proof } = request.signed
    await gateway.tokens.checkSigned(agent, { method, path, body: request.rawBody }, proof)
    admitAgent(gateway, agent)
    const peer = { transport: 'http' as const, address }
    const principal = { kind: 'agent' as const, agent }
    return {
      requestId,
      correlationId: correlation.id,
      caller: newCaller({ principal, peer, txn: row.txn }, headers.traceparent),
      agentId: agent.id,
      agentName: agent.displayName,
      tool: body.tool,
      action: body.action,
      params: body.params,
      intent: effectiveIntent({
        body: body.intent,
        header: headers.intent,
        params: body.params['intent'],
        token: row.intent,
      }),
      token: { id: row.tokenId, tools: row.tools, permissions: row.permissions },
      idempotencyKey: undefined,
    }
  } catch (error) {
    await recordCall(gateway, { requestId, correlationId: correlation.id, body, error })
    throw error
  }
}

/** However often it is refused: what one agent may ask for at all. */
function admitAgent({ stations, requestRate }: Gateway, { id }: Agent): void {
  if (requestRate === undefined) return
  stations.limits.take({ kind: 'bucket', key: `gateway:${id}`, scope: 'agent', ...requestRate })
}

function joinOrStart(gateway: Gateway, call: ToolCall, identity: Identity): Promise<Answer> {
  const { key, fingerprint } = identity
  const flying = key === undefined ? undefined : gateway.flights.get(key)
  if (flying === undefined) {
    return gateway.flights.start(key, fingerprint, () => answerOnce(gateway, call, identity))
  }
  if (flying.fingerprint !== fingerprint) throw conflict()
  return flying.landed.then((answer) => replayed(gateway, call, answer))
}

/** Looks for what came of the same call before; runs it when nothing did. */
async function answerOnce(gateway: Gateway, call: ToolCall, identity: Identity): Promise<Answer> {
  for (;;) {
    const earlier = await earlierAnswer(gateway, call, identity)
    if (earlier !== undefined) return replayed(gateway, call, earlier)
    const prepared = prepareCall(gateway, call)
    try {
      const answer = await runCall(gateway, prepared, identity)
      remember(gateway, prepared, identity, answer)
      return answer
    } catch (error) {
      // Another node was quicker: its result is ours, and if it has none that counts, the turn is.
      if (!(error instanceof AlreadyReserved)) throw error
    }
  }
}

async function earlierAnswer(
  gateway: Gateway,
  { tool, action }: ToolCall,
  identity: Identity,
): Promise<Answer | undefined> {
  const { key } = identity
  if (key === undefined) return undefined
  const kept = gateway.recent.get(key, gateway.now())
  if (kept !== undefined) return kept as unknown as Answer // put there by `remember`
  if (!isDurable(identity, gateway.tools.find(tool, action)?.action)) return undefined
  const found = await gateway.journal.find(JOURNAL_KIND, key)
  return found === undefined ? undefined : fromJournal(gateway, identity, found)
}

/**
 * What an earlier execution came to; undefined when it may run again.
 *
 * @throws VestryError IDEMPOTENCY_CONFLICT, OUTCOME_UNKNOWN, or the error it ended with.
 */
async function fromJournal(
  { journal }: Pick<Gateway, 'journal'>,
  { fingerprint }: Identity,
  found: Journaled,
): Promise<Answer | undefined> {
  if (found.fingerprint !== fingerprint) throw conflict()
  const ended = hasEnded(found) ? found : await journal.wait(found.id, answerTime())
  if (ended.state === 'unknown') throw outcomeUnknown()
  if (ended.state === 'failed' && (!ended.reached || ended.repeatable)) return undefined
  const bytes = await journal.output(ended.id)
  if (bytes === undefined) throw outcomeUnknown()
  const stored = readStored(bytes)
  if ('error' in stored) throw stored.error
  return { data: stored.data, metadata: stored.metadata, replayed: true }
}

/** Aborted with what those who waited so long are told. */
function answerTime(): AbortSignal {
  const time = new AbortController()
  setTimeout(() => time.abort(late()), ANSWER_WITHIN_MS).unref()
  return time.signal
}

/** Walks the stations. The effect's result is durable before anybody hears of it. */
async function runCall(
  gateway: Gateway,
  prepared: PreparedCall,
  identity: Identity,
): Promise<Answer> {
  const { call } = prepared
  const startedMs = gateway.now()
  return perform<Answer>(gateway.stations, {
    ...protectedCall(gateway, prepared),
    event: 'tool.call',
    limits: requestLimit(gateway.settings, { dev: gateway.dev, agentId: call.agentId }),
    data: { ...prepared.data, ...keyData(identity) },
    settle: async (decision) => {
      const held = await reserveInline(gateway, prepared, identity)
      const effect = effectOf(gateway, prepared, { decision, held, startedMs })
      const data = await usedCredential(gateway, prepared)
      if (held === undefined) return { ...effect, data }
      const kept = reserved(gateway, held, effect)
      return { ...effect, ...kept, data: { ...data, ...kept.data } }
    },
  })
}

/** The path under which an operator finds every use of a credential. */
export async function usedCredential(
  gateway: Gateway,
  { found }: PreparedCall,
): Promise<Record<string, unknown>> {
  const path = found?.tool.credential?.path
  if (found === undefined || path === undefined || (await isMocked(gateway, found.tool))) return {}
  return { path }
}

/** The members that a synchronous call, a submission and the run of a job share. */
export function protectedCall(
  gateway: Gateway,
  prepared: PreparedCall,
): Pick<
  ProtectedCall<never>,
  | 'caller'
  | 'requestId'
  | 'action'
  | 'source'
  | 'resource'
  | 'context'
  | 'unpermittedRank'
  | 'held'
  | 'approvalParams'
  | 'exists'
> {
  const { call, found, params, resource, context, held } = prepared
  return {
    caller: call.caller,
    requestId: call.requestId,
    action: 'tool:call',
    source: 'gateway',
    resource,
    context,
    unpermittedRank: TOOL_RANKS.unpermitted,
    held,
    approvalParams: {
      tool: call.tool,
      action: call.action,
      digest: found?.tool.digest ?? '',
      params,
    },
    exists: async () => {
      if (found === undefined || (await isMocked(gateway, found.tool))) return
      const { tool } = found
      if (tool.credential !== undefined && !(await isConfigured(gateway, tool)))
        throw notConfigured(tool)
    },
  }
}

/** @returns undefined when the call need not be durable: it may run twice, and nobody named it. */
async function reserveInline(
  gateway: Gateway,
  { call, found }: PreparedCall,
  identity: Identity,
): Promise<Held | undefined> {
  if (found === undefined || !isDurable(identity, found.action)) return undefined
  const reserved = await gateway.journal.reserve({
    id: newExecutionId(),
    kind: JOURNAL_KIND,
    ...(identity.key !== undefined && { key: identity.key }),
    fingerprint: identity.fingerprint,
    agentId: call.agentId,
    subject: `${call.tool}:${call.action}`,
    mode: 'inline',
    repeatable: isRepeatable(found.action, identity),
    retainMs: retainMs(gateway, identity),
    // It goes straight to the provider: one commit says both.
    sent: true,
  })
  if (reserved.state === 'held') return reserved.execution
  throw new AlreadyReserved(reserved.execution)
}

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

/** An execution that is refused after it was reserved has reached nobody, so a retry may run it. */
function reserved(
  gateway: Gateway,
  held: Held,
  { effect }: Pick<Settled<Answer>, 'effect'>,
): Pick<Settled<Answer>, 'data' | 'effect' | 'held'> {
  let begun = false
  return {
    data: { execution: executionTag(gateway, held.id) },
    effect: (note, charged) => {
      begun = true
      return effect(note, charged)
    },
    held: {
      [Symbol.dispose]: () => {
        if (begun) return
        held.fail({ code: 'ACCESS_DENIED', reached: false }).catch(() => undefined)
      },
    },
  }
}

/** Answers of calls that need not survive a crash are kept in memory while a client may be retrying. */
function remember(
  gateway: Gateway,
  { found }: PreparedCall,
  identity: Identity,
  answer: Answer,
): void {
  if (identity.key === undefined || isDurable(identity, found?.action)) return
  if (gateway.seal.state !== 'unsealed') return // sealed meanwhile: nothing stays in memory
  gateway.recent.set(identity.key, answer as unknown as Json, IMPLICIT_TTL_MS, gateway.now())
}

async function replayed(gateway: Gateway, call: ToolCall, answer: Answer): Promise<Answer> {
  gateway.metrics.replayed()
  await recordCall(gateway, { call, replay: true })
  return { ...answer, replayed: true }
}

/** What has a name of its own, or must not happen twice, is kept on disk. */
function isDurable(
  { key, explicit }: Identity,
  action: { readonly repeatable: boolean } | undefined,
): boolean {
  return key !== undefined && action !== undefined && (explicit !== undefined || !action.repeatable)
}

/** Also when the provider itself suppresses duplicates of a keyed call. */
export function isRepeatable(
  action: { readonly repeatable: boolean; readonly idempotencyHeader?: string },
  { explicit }: Identity,
): boolean {
  return action.repeatable || (action.idempotencyHeader !== undefined && explicit !== undefined)
}

export function retainMs({ settings }: Gateway, { explicit }: Identity): number {
  return explicit === undefined ? IMPLICIT_TTL_MS : settings.idempotency_ttl_seconds * 1_000
}

export function keyData({ explicit }: Identity): Record<string, unknown> {
  return explicit === undefined ? {} : { keyed: true }
}

/** At least 128 random bits in an alphabet that needs no escaping: the id is the right to read the result. */
export function newExecutionId(): string {
  return `job_${randomBytes(18).toString('base64url')}`
}

/** As the log names an execution: whoever reads the log must not be able to ask for results. */
export function executionTag({ seal }: Pick<Gateway, 'seal'>, id: string): string {
  return hmacTag(seal.keys.hashKey, id)
}

/** Somebody else holds the key; tells it from every other refusal. */
export class AlreadyReserved extends VestryError {
  readonly execution: Journaled

  constructor(execution: Journaled) {
    super('CONFLICT', 'the same call is under way')
    this.execution = execution
  }
}

export function conflict(): VestryError {
  return new VestryError('IDEMPOTENCY_CONFLICT', 'the key belongs to another request', {
    hint: 'Use a new key for a new request',
  })
}

function outcomeUnknown(): VestryError {
  return new VestryError('OUTCOME_UNKNOWN', undefined, {
    hint: 'Find out at the provider whether it happened; use a new key to do it again',
  })
}

/** The call itself goes on when the time is up. */
async function within<T>(work: Promise<T>, ms: number, ending: AbortSignal): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  const end = () => reject(ending.reason)
  ending.addEventListener('abort', end)
  try {
    return await Promise.race([work, over])
  } finally {
    clearTimeout(timer)
    ending.removeEventListener('abort', end)
  }
}

function late(): VestryError {
  return new VestryError('DEADLINE_EXCEEDED', 'the call goes on; ask again for its result')
}

/**
 * What happens to one request of an input, wherever it came from: too many at once, size, authentication, JSON, routing,
 * the agent, the answer (runtime contract §13.2). The listener and `trigger` both end up here.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import type { HeldBody } from '../../llm/wire/request-body.ts'
import type { AgentInvoker, ExecutionEnd } from './agent-invoker.ts'
import type { InputAuth } from './input-auth.ts'
import { type InputConfig, STANDARD_CONTROL } from './input-config.ts'
import type { InputStats, Rejection } from './input-stats.ts'
import { agentFor } from './routing.ts'

export interface Arrival {
  readonly method: string
  /** Without query. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly header: (name: string) => string | undefined
  readonly authorization: readonly string[]
  /** Asked for once, after the checks that need no body. @throws VestryError as {@link readBody} */
  readonly body: (maxBytes: number) => Promise<HeldBody>
  /** Announced size, if any. */
  readonly contentLength: number | undefined
  readonly requestId: string
  readonly remoteAddress: string | undefined
  /** A browser sent it for a page that nobody listed. */
  readonly isForeignPage: boolean
  /** Came through the API: who sent it is known already. */
  readonly trusted: boolean
}

export interface Answer {
  readonly status: number
  readonly content: { readonly json: unknown } | { readonly text: string }
  readonly agent: string
  readonly rejected: Rejection | undefined
}

export interface PipelineDeps {
  readonly id: string
  readonly config: InputConfig
  readonly auth: InputAuth | undefined
  readonly agents: AgentInvoker
  readonly stats: InputStats
  /** Requests that are under way now, this one not counted. */
  readonly active: () => number
  /** Epoch ms. */
  readonly now: () => number
  /** An answer comes by then, whether the agent has ended or not. */
  readonly answerWithinMs: number
}

/** Never throws: whatever happens is an answer. */
export async function answer(deps: PipelineDeps, arrival: Arrival): Promise<Answer> {
  const startedMs = performance.now()
  const { config, stats, now } = deps
  const refused = (why: Rejection, status: number, error: string): Answer => {
    stats.rejected(why, now())
    const json = { error, request_id: arrival.requestId }
    return { status, content: { json }, agent: config.agent_id, rejected: why }
  }
  let bytes = 0
  let admitted = false
  try {
    if (deps.active() >= config.concurrency)
      throw new Rejected('concurrency', 429, 'Too many requests at once')
    if ((arrival.contentLength ?? 0) > config.max_body_bytes) throw tooLarge()
    if (!arrival.trusted) await authenticate(deps, arrival)
    admitted = true
    using held = await arrival.body(config.max_body_bytes).catch(bodyProblem)
    bytes = held.bytes.length
    const body = parse(held.bytes, arrival.header('content-type'))
    const agent = agentFor(config, { path: arrival.path, header: arrival.header, body })
    const { ok, status, content } = await invoke(deps, arrival, agent, body)
    stats.answered({ ok, agent, ms: performance.now() - startedMs, bytes, nowMs: now() })
    return { status, content, agent, rejected: undefined }
  } catch (error) {
    if (error instanceof Rejected) return refused(error.why, error.status, error.message)
    const { error_status: status } = config.response_control ?? STANDARD_CONTROL
    // Whoever it was has not shown who it is.
    if (!admitted) return refused('auth', status, UNHANDLED)
    const { agent_id: agent } = config
    stats.answered({ ok: false, agent, ms: performance.now() - startedMs, bytes, nowMs: now() })
    const json = { error: UNHANDLED, request_id: arrival.requestId }
    return { status, content: { json }, agent, rejected: undefined }
  }
}

const UNHANDLED = 'The request could not be handled'

class Rejected extends Error {
  readonly why: Rejection
  readonly status: number

  constructor(why: Rejection, status: number, message: string) {
    super(message)
    this.why = why
    this.status = status
  }
}

function tooLarge(): Rejected {
  return new Rejected('size', 413, 'The body is too large')
}

/** @throws Rejected, or what was thrown. */
function bodyProblem(error: unknown): never {
  const { code } = asVestryError(error)
  if (code === 'REQUEST_TOO_LARGE') throw tooLarge()
  if (code === 'GATEWAY_OVERLOADED') throw new Rejected('concurrency', 429, 'Too much at once')
  if (code === 'DEADLINE_EXCEEDED') throw new Rejected('size', 408, 'The body came too slowly')
  throw error
}

async function authenticate(
  { auth }: PipelineDeps,
  { authorization, isForeignPage }: Arrival,
): Promise<void> {
  // Any page in a browser on this machine reaches loopback, and needs no leave to send text.
  if (auth === undefined && isForeignPage)
    throw new Rejected('auth', 403, 'Pages of this origin may not ask')
  try {
    await auth?.check(authorization)
  } catch (error) {
    if (error instanceof VestryError && error.code === 'UNAUTHORIZED')
      throw new Rejected('auth', 401, error.message)
    throw error
  }
}

function parse(raw: Buffer, contentType = ''): unknown {
  if (raw.length === 0) return {}
  const [type = ''] = contentType.split(';')
  if (type.trim().toLowerCase() === 'application/x-www-form-urlencoded') return formOf(raw)
  try {
    // Nothing here copies members by assignment.
    return readStrictJson(raw, ONLY_PROTO)
  } catch {
    throw new Rejected('json', 400, 'The body is not JSON')
  }
}

const MAX_FIELDS = 1_000

/** A name that comes twice becomes a list. */
function formOf(raw: Buffer): Record<string, unknown> {
  const text = raw.toString('utf8')
  let fields = 1
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) fields += 1
  if (fields > MAX_FIELDS)
    throw new Rejected('json', 400, `A form has at most ${MAX_FIELDS} fields`)
  const form = new Map<string, string[]>()
  for (const [name, value] of new URLSearchParams(text)) {
    const before = form.get(name)
    if (before === undefined) form.set(name, [value])
    else before.push(value)
  }
  return Object.fromEntries(
    [...form].map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  )
}

async function invoke(
  deps: PipelineDeps,
  arrival: Arrival,
  agent: string,
  body: unknown,
): Promise<{ ok: boolean } & Pick<Answer, 'status' | 'content'>> {
  const { config } = deps
  const startedMs = performance.now()
  const control = config.response_control ?? STANDARD_CONTROL
  const headers = Object.fromEntries(
    config.forward_headers.flatMap((name) => {
      const value = arrival.header(name)
      return value === undefined ? [] : [[name.toLowerCase(), value]]
    }),
  )
  const input = {
    method: arrival.method,
    path: arrival.path,
    query: arrival.query,
    headers,
    body,
    received_at: new Date(deps.now()).toISOString(),
    request_id: arrival.requestId,
  }
  const failed = (code: string) => ({
    ok: false,
    status: control.error_status,
    content: {
      json: {
        error: 'The agent failed',
        code,
        request_id: arrival.requestId,
        ...(control.echo_input_on_error && { input: body }),
      },
    },
  })
  let started: Awaited<ReturnType<AgentInvoker['start']>>
  try {
    started = await deps.agents.start({
      agentName: agent,
      input,
      trigger: `http_input:${deps.id}`,
      requestId: arrival.requestId,
      traceparent: arrival.header('traceparent'),
      remoteAddress: arrival.remoteAddress,
    })
  } catch (error) {
    const { code } = asVestryError(error)
    // Agents take less than a body may have.
    if (code === 'BODY_TOO_LARGE') throw tooLarge()
    return failed(code)
  }
  const end = await inTime(started.ended, deps.answerWithinMs)
  if (end === undefined) {
    return {
      ok: true,
      status: 202,
      content: {
        json: {
          status: 'execution_started',
          agent_id: agent,
          message_id: started.executionId,
          latency_ms: Math.round(performance.now() - startedMs),
          timestamp: new Date(deps.now()).toISOString(),
        },
      },
    }
  }
  if (end.status === 'failed') return failed(end.error.code)
  return {
    ok: true,
    status: control.default_status,
    content: control.agent_output_to_json ? { json: end.output ?? null } : { text: 'OK' },
  }
}

/** undefined when the time is over first; the work goes on. */
async function inTime(work: Promise<ExecutionEnd>, ms: number): Promise<ExecutionEnd | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

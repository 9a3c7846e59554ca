/**
 * What happens to one request of an input, wherever it came from: too many at once, size, authentication, JSON, routing,
 * the agent, the answer (runtime contract §13.2). The listener and `trigger` both end up here.
 */
import { VestryError } from '@vestry/contract/errors'
import { readStrictJson } from '../../json/strict-json.ts'
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
  /** Rejects with REQUEST_TOO_LARGE. Asked for once, after the checks that need no body. */
  readonly body: () => Promise<Buffer>
  /** Announced size, if any. */
  readonly contentLength: number | undefined
  readonly requestId: string
  readonly remoteAddress: string | undefined
  /** Came through the API: who sent it is known already. */
  readonly trusted: boolean
}

export interface Answer {
  readonly status: number
  readonly body:
    | Readonly<Record<string, unknown>>
    | readonly unknown[]
    | string
    | number
    | boolean
    | null
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
  let bytes = 0
  try {
    if (deps.active() >= config.concurrency)
      throw new Rejected('concurrency', 429, 'Too many requests at once')
    if ((arrival.contentLength ?? 0) > config.max_body_bytes) throw tooLarge()
    if (!arrival.trusted) await authenticate(deps, arrival)
    const raw = await arrival.body().catch((error: unknown) => {
      throw error instanceof VestryError && error.code === 'REQUEST_TOO_LARGE' ? tooLarge() : error
    })
    bytes = raw.length
    const body = parse(raw, arrival.header('content-type'))
    const agent = agentFor(config, { path: arrival.path, header: arrival.header, body })
    const made = await invoke(deps, arrival, agent, body)
    stats.answered({ ok: made.ok, agent, ms: performance.now() - startedMs, bytes, nowMs: now() })
    return { status: made.status, body: made.body, agent, rejected: undefined }
  } catch (error) {
    const { agent_id: agent } = config
    if (error instanceof Rejected) {
      stats.rejected(error.why, now())
      const body = { error: error.message, request_id: arrival.requestId }
      return { status: error.status, body, agent, rejected: error.why }
    }
    const ms = performance.now() - startedMs
    stats.answered({ ok: false, agent, ms, bytes, nowMs: now() })
    const status = (config.response_control ?? STANDARD_CONTROL).error_status
    const body = { error: 'The request could not be handled', request_id: arrival.requestId }
    return { status, body, agent, rejected: undefined }
  }
}

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

async function authenticate({ auth }: PipelineDeps, { authorization }: Arrival): Promise<void> {
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
    return readStrictJson(raw)
  } catch {
    throw new Rejected('json', 400, 'The body is not JSON')
  }
}

/** A name that comes twice becomes a list. */
function formOf(raw: Buffer): Record<string, unknown> {
  const form = new Map<string, string | string[]>()
  for (const [name, value] of new URLSearchParams(raw.toString('utf8'))) {
    const before = form.get(name)
    form.set(name, before === undefined ? value : [before, value].flat())
  }
  return Object.fromEntries(form)
}

async function invoke(
  deps: PipelineDeps,
  arrival: Arrival,
  agent: string,
  body: unknown,
): Promise<{ ok: boolean; status: number; body: Answer['body'] }> {
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
    body: {
      error: 'The agent failed',
      code,
      request_id: arrival.requestId,
      ...(control.echo_input_on_error && { input: body as Record<string, unknown> }),
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
    return failed(error instanceof VestryError ? error.code : 'INTERNAL_ERROR')
  }
  const end = await inTime(started.ended, deps.answerWithinMs)
  if (end === undefined) {
    return {
      ok: true,
      status: 202,
      body: {
        status: 'execution_started',
        agent_id: agent,
        message_id: started.executionId,
        latency_ms: Math.round(performance.now() - startedMs),
        timestamp: new Date(deps.now()).toISOString(),
      },
    }
  }
  if (end.status === 'failed') return failed(end.error.code)
  return {
    ok: true,
    status: control.default_status,
    body: control.agent_output_to_json ? (end.output as Answer['body']) : 'OK',
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

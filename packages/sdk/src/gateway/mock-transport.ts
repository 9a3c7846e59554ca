/**
 * The gateway behind `mock:` addresses: answers in this process, without any I/O, what the wire contract
 * says a gateway in mock mode answers. The query forces outcomes: `?fail=429`, `?latencyMs=50`.
 */
import { createHmac } from 'node:crypto'
import { sleep } from '../vault/wait.ts'
import { jsonObject } from './answers.ts'
import { GatewayError, GatewayNetworkError, invalid } from './errors.ts'
import { type MockDeps, mockResult } from './mock-results.ts'
import type { Transport, WireAnswer, WireRequest } from './transport.ts'

export interface MockSettings {
  /** What every tool call ends with. */
  readonly fail?: { readonly status: number; readonly policy: boolean } | 'network'
  /** Before each answer; a job is queued that long and runs that long. */
  readonly latencyMs: number
}

/** Signs tokens that no gateway accepts. No secret: it is here for all to see. */
const MOCK_SIGNING_SECRET = 'vestry-mock-tokens'
const AGENT_NAME = 'mock-agent'
const MOST_JOBS = 1_000
const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' } as const

/** @throws GatewayError `INVALID_PARAMS` for a query that forces nothing known. */
export function mockSettings(url: URL): MockSettings {
  for (const name of url.searchParams.keys()) {
    if (name !== 'fail' && name !== 'latencyMs') {
      throw invalid(`A mock address takes fail and latencyMs, not ${name}`)
    }
  }
  const latencyMs = Number(url.searchParams.get('latencyMs') ?? 0)
  if (!Number.isFinite(latencyMs) || latencyMs < 0) throw invalid('latencyMs must be 0 or more')
  const fail = url.searchParams.get('fail')
  if (fail === null) return { latencyMs }
  if (fail === 'network') return { latencyMs, fail }
  if (fail === 'policy') return { latencyMs, fail: { status: 400, policy: true } }
  if (/^[345]\d\d$/.test(fail)) return { latencyMs, fail: { status: Number(fail), policy: false } }
  throw invalid('fail must be a status from 300 to 599, policy or network')
}

interface Job {
  readonly result: Record<string, unknown>
  readonly createdAtMs: number
  readonly metadata: Record<string, unknown>
}

export function mockTransport(settings: MockSettings, deps: MockDeps): Transport {
  const jobs = new Map<string, Job>()
  const jobByKey = new Map<string, string>()

  return async (request, signal) => {
    if (settings.latencyMs > 0) await sleep(settings.latencyMs, signal)
    try {
      return answer(request)
    } catch (error) {
      if (!(error instanceof GatewayError) || error instanceof GatewayNetworkError) throw error
      const { statusCode = 500, message, errorCode: code, details } = error
      return json(statusCode, { error: message, code, details })
    }
  }

  function answer({ path, body = '{}' }: WireRequest): WireAnswer {
    const fields = jsonObject(body) ?? {}
    if (path === '/api/generate-token') return token(fields)
    if (path === '/api/proxy-request') return settings.fail ? failure() : toolCall(fields)
    return job(path.slice('/api/jobs/'.length))
  }

  function token(fields: Record<string, unknown>): WireAnswer {
    const { agent_id, tools, permissions, expires_at } = fields
    const issued_at = new Date(deps.now()).toISOString()
    const claims = { agent_id, agent_name: AGENT_NAME, tools, permissions, expires_at }
    const proof_payload = JSON.stringify({ ...claims, nonce: deps.random(), issued_at })
    const payload = Buffer.from(proof_payload).toString('base64')
    const mac = createHmac('sha256', MOCK_SIGNING_SECRET).update(payload).digest('hex')
    return json(201, {
      agent_token: `${payload}.${mac}`,
      token_id: deps.random(),
      expires_at,
      issued_at,
      agent_name: AGENT_NAME,
      proof_payload,
    })
  }

  function toolCall(fields: Record<string, unknown>): WireAnswer {
    const tool = String(fields['tool'])
    const action = String(fields['action'])
    const params = jsonObject(JSON.stringify(fields['params'] ?? {})) ?? {}
    const data = mockResult(tool, action, params, deps)
    const metadata = { agent_name: AGENT_NAME, tool, action, response_time_ms: settings.latencyMs }
    if (fields['async'] !== true) return json(200, { success: true, data, metadata })
    const key = params['idempotency_key'] ?? params['idempotencyKey']
    const id = jobId(typeof key === 'string' ? JSON.stringify([tool, action, key]) : undefined)
    if (!jobs.has(id)) remember(jobs, id, { result: data, createdAtMs: deps.now(), metadata })
    return json(202, { job_id: id, status: 'queued' })
  }

  /** The same key is the same job. */
  function jobId(key: string | undefined): string {
    const known = key === undefined ? undefined : jobByKey.get(key)
    if (known !== undefined) return known
    const id = `job_${deps.random().replaceAll('-', '')}`
    if (key !== undefined) remember(jobByKey, key, id)
    return id
  }

  function job(id: string): WireAnswer {
    const known = jobs.get(id)
    if (known === undefined) return json(404, { error: 'Job not found', code: 'JOB_NOT_FOUND' })
    const ageMs = deps.now() - known.createdAtMs
    const waiting = ageMs < settings.latencyMs ? 'queued' : 'running'
    const status = ageMs >= 2 * settings.latencyMs ? 'done' : waiting
    return json(200, {
      job_id: id,
      status,
      result: status === 'done' ? known.result : null,
      error: null,
      metadata: known.metadata,
      created_at: new Date(known.createdAtMs).toISOString(),
    })
  }

  function failure(): WireAnswer {
    const { fail } = settings
    if (fail === undefined || fail === 'network') {
      throw new GatewayNetworkError('The mock address forces a network failure')
    }
    if (fail.policy) {
      const error = 'Policy denied: policy violation (SCOPE_NOT_ALLOWED)'
      return json(400, { error, code: 'POLICY_SCOPE_NOT_ALLOWED', reason: 'forced by fail=policy' })
    }
    const waits = fail.status === 429 || fail.status === 503
    return json(
      fail.status,
      { error: `The mock address forces status ${fail.status}` },
      waits ? { 'retry-after': '1' } : {},
    )
  }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): WireAnswer {
  return { status, headers: { ...JSON_HEADERS, ...headers }, text: JSON.stringify(body) }
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > MOST_JOBS && oldest !== undefined) map.delete(oldest)
}

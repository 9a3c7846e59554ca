/**
 * A gateway for tests, over real HTTP on a free port: mints tokens, verifies signed requests, executes
 * each idempotency key once, runs jobs, and misbehaves as a test scripts it.
 */
import { createHash, createHmac, createPublicKey, randomUUID, verify } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const AGENT_ID = '3f0c8f0e-6a51-4c39-9d5a-0a4e5d1b7c22'
const SECRET = 'fake-gateway-signing-secret'
const ROTATE_BELOW_MS = 300_000

export interface Seen {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: Record<string, unknown>
  text: string
}

export interface Scripted {
  status?: number
  headers?: Record<string, string>
  /** Sent as it is when it is a text. */
  body?: unknown
  delayMs?: number
  /** Cut the connection: before anything is done, or after the call was executed. */
  drop?: 'before' | 'after'
  /** Do as always, and only add the headers. */
  proceed?: boolean
}

type Route = 'token' | 'proxy' | 'job'

export class FakeGateway {
  readonly seen: Seen[] = []
  /** Calls that had an effect, as `tool:action`. */
  readonly executed: string[] = []
  /** SPKI PEM; then token requests must be signed. */
  publicKey: string | undefined
  readonly #script: Record<Route, Scripted[]> = { token: [], proxy: [], job: [] }
  readonly #byKey = new Map<string, Record<string, unknown>>()
  readonly #jobs = new Map<string, { looks: number; result: unknown }>()
  readonly #nonces = new Set<string>()
  readonly #server = createServer((request, response) => void this.#answer(request, response))

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The next answers of a route; after them it behaves again. */
  script(route: Route, ...answers: Scripted[]): this {
    this.#script[route].push(...answers)
    return this
  }

  sent(route: Route): Seen[] {
    return this.seen.filter(({ path }) => routeOf(path) === route)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += chunk
    const path = request.url ?? ''
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
    this.seen.push({ method: request.method ?? '', path, headers: request.headers, body, text })
    const route = routeOf(path)
    const scripted = this.#script[route].shift()
    if (scripted?.delayMs) await new Promise((resolve) => setTimeout(resolve, scripted.delayMs))
    if (scripted?.drop === 'before') return void request.socket.destroy()
    const behaves = scripted === undefined || scripted.proceed || scripted.drop === 'after'
    const usual = behaves ? this.#usual(route, path, body, { request, text }) : undefined
    if (scripted?.drop === 'after') return void request.socket.destroy()
    const answer = usual ?? { status: scripted?.status ?? 200, body: scripted?.body ?? {} }
    const id = request.headers['x-correlation-id']
    response.writeHead(answer.status, {
      'content-type': 'application/json; charset=utf-8',
      'x-correlation-id': id,
      ...('headers' in answer ? answer.headers : {}),
      ...scripted?.headers,
    })
    response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
  }

  #usual(
    route: Route,
    path: string,
    body: Record<string, unknown>,
    raw: { request: IncomingMessage; text: string },
  ): { status: number; body: unknown; headers?: Record<string, string> } {
    if (route === 'job') return this.#job(path)
    return route === 'token' ? this.#mint(body, raw) : this.#proxy(body)
  }

  #mint(body: Record<string, unknown>, raw: { request: IncomingMessage; text: string }) {
    if (this.publicKey !== undefined && !this.#isProven(this.publicKey, raw)) {
      return refusal(401, 'AGENT_PROOF_INVALID', 'Request signature is not valid')
    }
    const { agent_id, tools, permissions, expires_at } = body
    const issued_at = new Date().toISOString()
    const token = tokenOf({ agent_id, tools, permissions, expires_at, issued_at })
    return {
      status: 201,
      body: { agent_token: token, token_id: randomUUID(), expires_at, issued_at, agent_name: 'a' },
    }
  }

  #isProven(
    publicKey: string,
    { request, text }: { request: IncomingMessage; text: string },
  ): boolean {
    const timestamp = String(request.headers['x-agent-timestamp'])
    const nonce = String(request.headers['x-agent-nonce'])
    const signature = String(request.headers['x-agent-signature'])
    if (this.#nonces.has(nonce) || !signature.startsWith('v1=')) return false
    this.#nonces.add(nonce)
    const hash = createHash('sha256').update(text).digest('hex')
    const lines = ['4RUNR-AGENT-SIG-1', 'POST', '/api/generate-token', timestamp, nonce, hash]
    const key = createPublicKey(publicKey)
    const digest = key.asymmetricKeyType === 'rsa' ? 'sha256' : null
    const bytes = Buffer.from(signature.slice(3), 'base64')
    return verify(digest, Buffer.from(lines.join('\n')), key, bytes)
  }

  #proxy(body: Record<string, unknown>) {
    const claims = claimsOf(String(body['agent_token']))
    if (claims === undefined) return refusal(401, 'TOKEN_SIGNATURE', 'Token signature is not valid')
    const expiresAt = String(claims['expires_at'])
    const leftMs = Date.parse(expiresAt) - Date.now()
    const headers: Record<string, string> =
      leftMs < ROTATE_BELOW_MS
        ? { 'X-Token-Rotation-Recommended': 'true', 'X-Token-Expires-At': expiresAt }
        : {}
    if (leftMs <= 0) return { ...refusal(401, 'TOKEN_EXPIRED', 'Token expired'), headers }
    const { tool, action } = body
    const params = (body['params'] ?? {}) as Record<string, unknown>
    const key = params['idempotency_key'] ?? params['idempotencyKey']
    const data = this.#byKey.get(String(key)) ?? { id: randomUUID(), echo: params }
    if (key === undefined || !this.#byKey.has(String(key))) this.executed.push(`${tool}:${action}`)
    if (key !== undefined) this.#byKey.set(String(key), data)
    const metadata = { agent_id: AGENT_ID, agent_name: 'a', tool, action, response_time_ms: 1 }
    if (body['async'] !== true)
      return { status: 200, headers, body: { success: true, data, metadata } }
    const job_id = `job_${randomUUID().replaceAll('-', '')}`
    this.#jobs.set(job_id, { looks: 0, result: data })
    return { status: 202, headers, body: { job_id, status: 'queued' } }
  }

  /** One state further with every look. */
  #job(path: string) {
    const job_id = path.slice('/api/jobs/'.length)
    const job = this.#jobs.get(job_id)
    if (job === undefined) return refusal(404, 'JOB_NOT_FOUND', 'Job not found')
    const status = (['queued', 'running'] as const)[job.looks] ?? 'done'
    job.looks += 1
    const result = status === 'done' ? job.result : null
    return { status: 200, body: { job_id, status, result, error: null } }
  }
}

/** A token this gateway accepts. */
export function tokenOf(claims: Record<string, unknown>): string {
  const payload = { agent_id: AGENT_ID, agent_name: 'a', tools: ['serpapi'], permissions: ['read'] }
  const text = JSON.stringify({ ...payload, nonce: randomUUID(), ...claims })
  const first = Buffer.from(text).toString('base64')
  return `${first}.${createHmac('sha256', SECRET).update(first).digest('hex')}`
}

export function claimsOf(token: string): Record<string, unknown> | undefined {
  const [first = '', mac] = token.split('.')
  if (createHmac('sha256', SECRET).update(first).digest('hex') !== mac) return undefined
  return JSON.parse(Buffer.from(first, 'base64').toString()) as Record<string, unknown>
}

function refusal(status: number, code: string, error: string) {
  return { status, body: { error, code } }
}

function routeOf(path: string): Route {
  if (path.includes('/api/generate-token')) return 'token'
  return path.includes('/api/proxy-request') ? 'proxy' : 'job'
}

/**
 * A stand-in for the published JavaScript client of the gateway, for tests only.
 *
 * The package could not be installed where these tests were written, so this file is NOT that client: it is
 * written from the wire contract alone. Where the client is known to misbehave (everything retried, nothing
 * signed, one abort signal for all attempts, which can end the process), it misbehaves here too: the
 * gateway has to live with it.
 *
 * Node's own modules only, from Node 18 on. Reads one JSON command per line, `{id, on, call, args}`, and
 * answers each with one line, `{id, ok | raised, attempts, notices, ms}`, in the order in which they finish.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import zlib from 'node:zlib'

/** What one call did on the wire, told with its result; the client itself never looks at it. */
const trace = new AsyncLocalStorage()

// ---- errors ---------------------------------------------------------------------------------------

export class GatewayError extends Error {
  constructor(message, statusCode, code) {
    super(message)
    this.name = new.target.name
    this.statusCode = statusCode
    this.code = code
  }
}
export class GatewayAuthError extends GatewayError {
  constructor(message, statusCode = 401) {
    super(message, statusCode, 'AUTH_ERROR')
  }
}
export class GatewayPolicyError extends GatewayError {
  constructor(message, statusCode = 400) {
    super(message, statusCode, 'POLICY_ERROR')
  }
}
export class GatewayRateLimitError extends GatewayError {
  constructor(message, retryAfter) {
    super(message, 429, 'RATE_LIMIT_ERROR')
    this.retryAfter = retryAfter
  }
}
export class GatewayUpstreamError extends GatewayError {
  constructor(message, statusCode = 502) {
    super(message, statusCode, 'UPSTREAM_ERROR')
  }
}
/** Exported, and never raised. */
export class GatewayNetworkError extends GatewayError {}
export class GatewayTokenError extends GatewayError {
  constructor(message) {
    super(message, undefined, 'TOKEN_ERROR')
  }
}

/** Rejects for an `error` of a 400 that is no string; the caller takes that for a failure of the network. */
export async function createErrorFromResponse(response) {
  let message = `HTTP ${response.status}`
  try {
    message = (await response.json()).error || message
  } catch {}
  const { status } = response
  if (status === 401 || status === 403) return new GatewayAuthError(message, status)
  if (status === 429) {
    const retryAfter = response.headers.get('Retry-After')
    return new GatewayRateLimitError(
      message,
      retryAfter ? Number.parseInt(retryAfter, 10) : undefined,
    )
  }
  if (status === 400 && (message.includes('policy') || message.includes('scope')))
    return new GatewayPolicyError(message, status)
  if (status === 502 || status === 503 || status === 504)
    return new GatewayUpstreamError(message, status)
  return new GatewayError(message, status)
}

// ---- ids ------------------------------------------------------------------------------------------

export const generateCorrelationId = () =>
  `req_${Date.now()}_${Math.random().toString(36).substring(2, 15)}`

export const extractCorrelationId = (headers) => headers.get('X-Correlation-Id')

export const generateIdempotencyKey = () => `idemp_${Date.now()}_${randomUUID()}`

/** As the build for ES modules has it. */
export function generateIdempotencyKeyFromData() {
  throw new Error('Dynamic require of "crypto" is not supported')
}

// ---- retries --------------------------------------------------------------------------------------

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export function calculateDelay(attempt) {
  const delay = Math.min(1000 * 2 ** attempt, 10_000)
  return delay + delay * 0.25 * (Math.random() - 0.5)
}

export const isRetryableError = (error) =>
  error instanceof GatewayError && (error.code === 'NETWORK_ERROR' || error.statusCode >= 500)

export async function withRetry(operation, { maxRetries = 3 } = {}) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await operation()
    } catch (error) {
      if (attempt >= maxRetries || !isRetryableError(error)) throw error
      await sleep(calculateDelay(attempt))
    }
  }
}

// ---- fetch, as the client's library does it ---------------------------------------------------------

class AbortError extends Error {
  constructor(message) {
    super(message)
    this.name = 'AbortError'
    this.type = 'aborted'
  }
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/**
 * The trap is in `abort`: a body given as text is wrapped in a stream that nobody listens to. Once it has
 * been read an error cannot hurt it; when the signal was aborted before, destroying it emits an 'error' that
 * ends the process.
 */
function libraryFetch(url, { method, headers, body, signal, followed = 0 }) {
  return new Promise((resolve, reject) => {
    const target = new URL(url)
    if (target.protocol !== 'http:' && target.protocol !== 'https:')
      throw new TypeError(`URL scheme "${target.protocol.slice(0, -1)}" is not supported.`)
    const bytes = body === undefined ? undefined : Buffer.from(body)
    const stream = bytes === undefined ? null : Readable.from(bytes)
    let response

    const abort = () => {
      const error = new AbortError('The operation was aborted.')
      reject(error)
      if (stream instanceof Readable) stream.destroy(error)
      response?.body.emit('error', error)
    }
    if (signal.aborted) return abort()
    const abortAndFinalise = () => {
      abort()
      finalise()
    }
    const request = (target.protocol === 'https:' ? https : http).request(target, {
      method,
      headers: { ...headers, ...(bytes && { 'Content-Length': bytes.length }) },
    })
    const finalise = () => {
      request.abort()
      signal.removeEventListener('abort', abortAndFinalise)
    }
    signal.addEventListener('abort', abortAndFinalise)
    request.on('error', (error) => {
      reject(new Error(`request to ${url} failed, reason: ${error.message}`))
      finalise()
    })
    request.on('response', (incoming) => {
      request.setTimeout(0)
      const { location } = incoming.headers
      if (REDIRECTS.has(incoming.statusCode) && location !== undefined) {
        finalise()
        if (followed >= 20) return reject(new Error(`maximum redirect reached at: ${url}`))
        const bare = incoming.statusCode === 303 || (incoming.statusCode < 303 && method === 'POST')
        const next = bare ? { method: 'GET' } : { method, body }
        resolve(
          libraryFetch(new URL(location, url), {
            ...next,
            headers,
            signal,
            followed: followed + 1,
          }),
        )
        return
      }
      const decoded = decode(incoming)
      incoming.once('end', () => signal.removeEventListener('abort', abortAndFinalise))
      response = {
        status: incoming.statusCode,
        ok: incoming.statusCode >= 200 && incoming.statusCode < 300,
        headers: new Headers(
          Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
        ),
        body: decoded,
        json: async () => JSON.parse(await textOf(decoded)),
      }
      resolve(response)
    })
    if (stream === null) request.end()
    else stream.pipe(request)
  })
}

function decode(incoming) {
  const decoders = {
    gzip: zlib.createGunzip,
    deflate: zlib.createInflate,
    br: zlib.createBrotliDecompress,
  }
  const make = decoders[incoming.headers['content-encoding']]
  return make === undefined ? incoming : incoming.pipe(make())
}

async function textOf(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

// ---- the client -----------------------------------------------------------------------------------

export class GatewayClient {
  constructor({ baseUrl, agentId, agentPrivateKeyPem, defaultIntent, timeoutMs = 6000 }) {
    this.baseUrl = baseUrl.replace(/\/$/, '')
    this.agentId = agentId
    this.agentPrivateKeyPem = agentPrivateKeyPem // kept, and never read again
    this.intent = defaultIntent
    this.timeoutMs = timeoutMs
  }

  setIntent(intent) {
    this.intent = intent
  }

  async getToken({ tools, permissions, ttlMinutes }) {
    const response = await this.request('POST', '/api/generate-token', {
      agent_id: this.agentId,
      tools,
      permissions,
      expires_at: new Date(Date.now() + ttlMinutes * 60_000).toISOString(),
    })
    return (await response.json()).agent_token
  }

  async proxy(tool, action, params, agentToken, proofPayloadOverride) {
    const token = agentToken ?? (await this.mintFor(tool))
    this.checkTokenAge(token)
    const response = await this.request('POST', '/api/proxy-request', {
      ...this.proxyBody(tool, action, params, token),
      ...(proofPayloadOverride && { proof_payload: JSON.stringify(proofPayloadOverride) }),
    })
    if (response.headers.get('X-Token-Rotation-Recommended') === 'true')
      notify('Token rotation recommended')
    return (await response.json()).data
  }

  async proxyAsync(tool, action, params, agentToken) {
    const token = agentToken ?? (await this.mintFor(tool))
    const response = await this.request('POST', '/api/proxy-request', {
      ...this.proxyBody(tool, action, params, token),
      async: true,
    })
    return { jobId: (await response.json()).job_id }
  }

  async getJob(jobId) {
    const response = await this.request('GET', `/api/jobs/${jobId}`)
    return await response.json()
  }

  /** One for every call: nothing is cached. */
  mintFor(tool) {
    return this.getToken({ tools: [tool], permissions: ['read', 'write'], ttlMinutes: 10 })
  }

  proxyBody(tool, action, params, token) {
    return {
      agent_token: token,
      tool,
      action,
      params,
      ...(this.intent && { intent: this.intent }),
    }
  }

  checkTokenAge(token) {
    let age = 0
    try {
      const { iat } = JSON.parse(Buffer.from(token.split('.')[1], 'base64').toString())
      age = Date.now() / 1000 - iat
    } catch {} // undecodable counts as new
    if (age > 24 * 60 * 60) throw new GatewayTokenError('Token is older than 24 hours')
  }

  /** One correlation id and one deadline for all attempts together. */
  async request(method, path, body) {
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(), this.timeoutMs)
    const headers = {
      'Content-Type': 'application/json',
      'User-Agent': '@4runr/gateway/1.0.0',
      'X-Correlation-Id': generateCorrelationId(),
      Accept: '*/*',
      'Accept-Encoding': 'gzip, deflate, br',
      Connection: 'keep-alive',
    }
    const content = body === undefined ? undefined : JSON.stringify(body)
    try {
      return await withRetry(async () => {
        try {
          const response = await traced(method, path, headers['X-Correlation-Id'], () =>
            libraryFetch(this.baseUrl + path, {
              method,
              headers,
              body: content,
              signal: controller.signal,
            }),
          )
          if (!response.ok) throw await createErrorFromResponse(response)
          return response
        } catch (error) {
          if (error instanceof GatewayError) throw error
          throw new GatewayError(`Network error: ${error.message}`, undefined, 'NETWORK_ERROR')
        }
      })
    } finally {
      clearTimeout(timer)
    }
  }
}

// ---- the line protocol ----------------------------------------------------------------------------

async function traced(method, path, correlationId, run) {
  const { attempts, started } = trace.getStore() ?? { attempts: [], started: performance.now() }
  const attempt = {
    method,
    path,
    correlation_id: correlationId,
    at_ms: performance.now() - started,
  }
  attempts.push(attempt)
  try {
    const response = await run()
    attempt.status = response.status
    attempt.headers = Object.fromEntries(response.headers)
    return response
  } catch (error) {
    attempt.failed = error.name
    throw error
  }
}

function notify(text) {
  process.stderr.write(`${text}\n`)
  trace.getStore()?.notices.push(text)
}

const FUNCTIONS = {
  generate_correlation_id: generateCorrelationId,
  generate_idempotency_key: generateIdempotencyKey,
  generate_idempotency_key_from_data: generateIdempotencyKeyFromData,
}

function describe(error) {
  const bases = []
  for (let at = Object.getPrototypeOf(error.constructor); at?.name; at = Object.getPrototypeOf(at))
    bases.push(at.name)
  return {
    class: error.name,
    bases,
    gateway: error instanceof GatewayError,
    message: error.message,
    status: error.statusCode ?? null,
    code: error.code ?? null,
    retry_after: error.retryAfter ?? null,
  }
}

const clients = new Map()

async function run({ on, call, args = [], kwargs = {} }) {
  if (call === 'new') return void clients.set(on, new GatewayClient(kwargs))
  if (on === undefined) return FUNCTIONS[call](...args)
  return clients.get(on)[call](...args)
}

async function answer(command) {
  const state = { attempts: [], notices: [], started: performance.now() }
  const outcome = await trace.run(state, () =>
    run(command).then(
      (ok) => ({ ok: ok ?? null }),
      (error) => ({ raised: describe(error) }),
    ),
  )
  const { attempts, notices, started } = state
  const ms = performance.now() - started
  process.stdout.write(`${JSON.stringify({ id: command.id, ...outcome, attempts, notices, ms })}\n`)
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  createInterface({ input: process.stdin }).on('line', (line) => void answer(JSON.parse(line)))
}

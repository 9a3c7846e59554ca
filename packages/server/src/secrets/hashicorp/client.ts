/**
 * Requests to Vault's HTTP API through the guarded door: bounded, retried while that makes sense, and with errors that
 * say what to do. What the server answers is never repeated in an error: it may hold a secret.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Injection } from '../../egress/injection.ts'
import { Needles } from '../../egress/needles.ts'
import { EgressPool } from '../../egress/pool.ts'
import { type EgressDeps, type EgressResult, send } from '../../egress/send.ts'
import { Secret } from '../../seal/secret.ts'
import { reasonOf } from '../deadline.ts'
import type { VaultSettings } from './settings.ts'
import { readSmallFile } from './small-file.ts'

export interface VaultClientDeps {
  /** Names, address rules and clock of the daemon's own door; connections are the back end's. */
  readonly egress: EgressDeps
  /** Authorities that all of the daemon trusts. */
  readonly caPem: string | undefined
  /** Between retries. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface VaultRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below `/v1/`, each segment encoded. */
  readonly path: string
  /** Serialised by us and wiped. */
  readonly body?: Readonly<Record<string, unknown>>
  /** Borrowed. */
  readonly token?: Secret
  readonly signal: AbortSignal
}

export interface VaultReply {
  readonly status: number
  /** Empty for what is no JSON object. */
  readonly json: Readonly<Record<string, unknown>>
}

const CONNECT_TIMEOUT_MS = 10_000
const MAX_RETRIES = 3
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 2_000
const MAX_REPLY_BYTES = 4 * 1024 * 1024
const MAX_AUTHORITIES_BYTES = 4 * 1024 * 1024
const NO_BODY: VaultReply['json'] = {}

export class VaultClient {
  readonly #settings: VaultSettings
  readonly #deps: VaultClientDeps
  readonly #pool: EgressPool
  readonly #pause: (ms: number, signal: AbortSignal) => Promise<void>

  /** @throws VestryError BACKEND_UNAVAILABLE when the CA file cannot be read. */
  constructor(settings: VaultSettings, deps: VaultClientDeps) {
    this.#settings = settings
    this.#deps = deps
    const caPem = authorities(settings.caFile, deps.caPem)
    this.#pool = new EgressPool({
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      ...(caPem !== undefined && { caPem }),
    })
    this.#pause =
      deps.pause ?? (async (ms, signal) => void (await sleep(ms, undefined, { signal })))
  }

  /** @returns Any answer below 500 but 429. @throws VestryError BACKEND_UNAVAILABLE, BACKEND_TIMEOUT */
  async request(request: VaultRequest): Promise<VaultReply> {
    for (let tries = 0; ; tries += 1) {
      const { problem, waitMs, reply } = await this.#attempt(request)
      if (problem === undefined) return reply
      if (tries === MAX_RETRIES) throw problem
      const backoff = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 4 ** tries)
      const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(waitMs, backoff))
      await this.#pause(pauseMs, request.signal).catch(() => {
        throw reasonOf(request.signal)
      })
    }
  }

  /** A GET elsewhere, for what a login is made of. */
  async fetchText(
    url: string,
    headers: readonly (readonly [string, string])[],
    signal: AbortSignal,
  ): Promise<string> {
    const { status, body } = await this.#send({ url, method: 'GET', headers, signal })
    if (status === 200) return Buffer.from(body).toString('utf8')
    throw new VestryError('BACKEND_AUTH_FAILED', `The source of credentials answered ${status}`)
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  async #attempt(
    request: VaultRequest,
  ): Promise<{ reply: VaultReply; problem: VestryError | undefined; waitMs: number }> {
    const { method, path, body, token, signal } = request
    const { url, namespace } = this.#settings
    using injection = token === undefined ? undefined : tokenHeader(token)
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    try {
      const result = await this.#send({
        url: `${url}/v1/${path}`,
        method,
        headers: [
          ['X-Vault-Request', 'true'],
          ['Accept', 'application/json'],
          ...(namespace === undefined ? [] : [['X-Vault-Namespace', namespace] as const]),
          ...(bytes === undefined ? [] : [['Content-Type', 'application/json'] as const]),
        ],
        ...(bytes !== undefined && { body: bytes }),
        ...(injection !== undefined && { injection }),
        signal,
      })
      const { problem, waitMs } = judge(result)
      return { reply: { status: result.status, json: jsonOf(result.body) }, problem, waitMs }
    } finally {
      bytes?.fill(0)
    }
  }

  async #send(request: {
    url: string
    method: string
    headers: readonly (readonly [string, string])[]
    body?: Uint8Array
    injection?: Injection
    signal: AbortSignal
  }): Promise<EgressResult> {
    try {
      return await send(
        {
          ...request,
          poolKey: { path: 'secrets/backend', version: 1 },
          // The operator named this very address; what may be plain http was settled with the configuration.
          authorize: () => ({ exactHost: true, allowHttp: true, followRedirects: false }),
          followRedirects: false,
          timeoutMs: this.#settings.requestTimeoutMs,
          maxResponseBytes: MAX_REPLY_BYTES,
          maxReceivedBytes: MAX_REPLY_BYTES,
          onOverflow: 'refuse',
        },
        { ...this.#deps.egress, pool: this.#pool },
      )
    } catch (error) {
      if (request.signal.aborted) throw reasonOf(request.signal)
      throw unreachable(error)
    }
  }
}

/** Without needles: a value that happens to hold the token must come back as it was stored. */
function tokenHeader(token: Secret): Injection {
  const value = Secret.copy(token.bytes)
  return {
    place: 'header',
    name: 'X-Vault-Token',
    value,
    needles: Needles.none(),
    [Symbol.dispose]: () => value[Symbol.dispose](),
  }
}

/** What speaks against the answer, whatever was asked; it may be gone after `waitMs`. */
function judge({ status, headers }: EgressResult): {
  problem: VestryError | undefined
  waitMs: number
} {
  const after = Number(headers['retry-after'] ?? headers['Retry-After'] ?? Number.NaN)
  const waitMs = Number.isFinite(after) && after > 0 ? Math.min(after, 3_600) * 1_000 : 0
  if (status === 429) {
    const problem = new VestryError('BACKEND_UNAVAILABLE', 'The secret back end limits our rate', {
      context: { retry_after_ms: waitMs === 0 ? 1_000 : waitMs },
    })
    return { problem, waitMs }
  }
  if (status === 503) {
    const problem = new VestryError(
      'BACKEND_UNAVAILABLE',
      'The secret back end is sealed or not active',
      { hint: 'Unseal it, or name the address of its active node.' },
    )
    return { problem, waitMs }
  }
  if (status >= 500) {
    const problem = new VestryError('BACKEND_UNAVAILABLE', `The secret back end answered ${status}`)
    return { problem, waitMs }
  }
  if (status >= 300 && status < 400) {
    throw new VestryError('BACKEND_UNAVAILABLE', 'The secret back end points to another address', {
      hint: 'Redirects are not followed: name the address of the active node.',
    })
  }
  return { problem: undefined, waitMs }
}

function jsonOf(body: Uint8Array): VaultReply['json'] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  if (bytes.length === 0) return NO_BODY
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return isRecord(value) ? value : NO_BODY
  } catch {
    return NO_BODY
  } finally {
    body.fill(0)
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unreachable(thrown: unknown): VestryError {
  const error = asVestryError(thrown)
  switch (error.code) {
    case 'UPSTREAM_TIMEOUT':
      return new VestryError('BACKEND_TIMEOUT', undefined, { cause: error })
    case 'SSRF_BLOCKED':
      return new VestryError(
        'BACKEND_UNAVAILABLE',
        `The secret back end may not be reached: ${error.message}`,
        {
          hint: 'Its address is private: open it with egress.allow_cidrs in vestry.yaml.',
          cause: error,
        },
      )
    case 'UPSTREAM_ERROR':
      return new VestryError(
        'BACKEND_UNAVAILABLE',
        `The secret back end is not there: ${error.message}`,
        {
          hint: 'Check its address, and for https the authority that signed its certificate (ca_file).',
          cause: error,
        },
      )
    case 'RESPONSE_TOO_LARGE':
      return new VestryError('BACKEND_ERROR', 'The secret back end answered with too much', {
        cause: error,
      })
    default:
      return error
  }
}

function authorities(file: string | undefined, common: string | undefined): string | undefined {
  if (file === undefined) return common
  try {
    const own = readSmallFile(file, MAX_AUTHORITIES_BYTES).toString('utf8')
    return common === undefined ? own : `${common}\n${own}`
  } catch (cause) {
    throw new VestryError(
      'BACKEND_UNAVAILABLE',
      'The file of authorities (ca_file) cannot be read',
      {
        cause,
      },
    )
  }
}

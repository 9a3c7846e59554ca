/**
 * What a tool is to the gateway: data and pure functions, in one shape for the built-in tools and for those an
 * operator defines. Nothing here opens a connection or touches a secret.
 */
import type { InjectionSpec } from '../../egress/injection.ts'

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
export type JsonObject = { [name: string]: Json }

export interface Tool {
  /** `^[a-z][a-z0-9_]{0,31}$` */
  readonly name: string
  readonly description: string
  readonly origin: 'builtin' | 'config' | 'operator'
  /** `sha256:` and the hex SHA-256 of the definition in schemapin-v1 form. */
  readonly digest: string
  readonly actions: ReadonlyMap<string, ToolAction>
  /** Absent: it needs none. */
  readonly credential?: ToolCredential
  /** The caller names the target itself (`http_fetch`): policy must list it. */
  readonly opensTarget?: true
}

export interface ToolCredential {
  /** In the vault; `tools/<tool>` unless told otherwise. */
  readonly path: string
  /** How it is sent: in a header, or as a query parameter of that name. */
  readonly inject: InjectionSpec | { readonly query: string }
}

export interface ToolAction {
  readonly name: string
  readonly description: string
  /** Which of the two broad permission words of a token covers it. */
  readonly permission: 'read' | 'write'
  /** Doing it twice does no harm: it is retried, and run again after a crash. */
  readonly repeatable: boolean
  /** Upstream suppresses duplicates by this header, which then carries the idempotency key. */
  readonly idempotencyHeader?: string
  /** 0: never cached. */
  readonly cacheMs: number
  /** For one logical call with all its attempts, unless the params ask for less. */
  readonly timeoutMs: number
  /** Millionths of a US dollar per call. */
  readonly costMicros: number
  /** JSON Schema of the normalised params, for people and for digests. */
  readonly schema: JsonObject
  /**
   * Aliases resolved, defaults filled, checked. Idempotency keys and intents are gone before.
   * @throws InvalidToolParams
   */
  normalise(params: JsonObject): JsonObject
  /** What policy is told besides the params themselves. */
  facts(params: JsonObject): ToolFacts
  /** The call to be made. Pure but for random boundaries and dates, which come from `context`. */
  request(params: JsonObject, context: RequestContext): UpstreamRequest
  /**
   * What the agent gets.
   * @throws ToolFailure for a reply that is an error of the provider.
   */
  result(reply: UpstreamReply, params: JsonObject, context: RequestContext): Json
  /** What of a result was paid for, e.g. tokens: whole numbers by name. */
  usage?(result: Json): Readonly<Record<string, number>> | undefined
  /** What the agent gets in mock mode: a pure function of its arguments but for ids and times. */
  mock(params: JsonObject, context: RequestContext): Json
}

export interface ToolFacts {
  /** Where the caller wants to go, for a tool that opens targets. */
  readonly url?: string
  /** Lower-case domains of the people a message goes to. */
  readonly recipients?: readonly string[]
  /** Param name → characters of its text. */
  readonly lengths?: Readonly<Record<string, number>>
}

export interface RequestContext {
  readonly nowMs: number
  /** Lower-case hex of 16 random bytes, fresh for each execution. */
  readonly random: string
  readonly correlationId: string
  readonly idempotencyKey: string | undefined
}

export interface UpstreamRequest {
  /** Absolute. Without the credential. */
  readonly url: string
  readonly method: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body?: Uint8Array
  readonly timeoutMs: number
  /** Decoded bytes beyond which the reply is refused. */
  readonly maxResponseBytes: number
  readonly followRedirects: boolean
}

export interface UpstreamReply {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** Decoded and scrubbed. */
  readonly body: Uint8Array
  /** After redirects. */
  readonly url: string
}

/** Params that a tool refuses; the wire lists the details. */
export class InvalidToolParams extends Error {
  /** `path: message`, one for each thing that is wrong. No values. */
  readonly details: readonly string[]

  constructor(details: readonly string[]) {
    super(details.join('; '))
    this.name = 'InvalidToolParams'
    this.details = details
  }
}

/** An answer of the provider that is an error. */
export class ToolFailure extends Error {
  readonly kind: 'failed' | 'auth' | 'rate_limited' | 'rejected'
  readonly upstreamStatus: number
  /** Seconds, when the provider said. */
  readonly retryAfter: number | undefined

  constructor(kind: ToolFailure['kind'], upstreamStatus: number, retryAfter?: number) {
    super(`the provider answered ${upstreamStatus}`)
    this.name = 'ToolFailure'
    this.kind = kind
    this.upstreamStatus = upstreamStatus
    this.retryAfter = retryAfter
  }
}

/** The error a provider's status stands for; undefined for success and for redirects that were not followed. */
export function providerFailure({ status, headers }: UpstreamReply): ToolFailure | undefined {
  if (status < 400) return undefined
  if (status >= 500) return new ToolFailure('failed', status)
  if (status === 401 || status === 403 || status === 407) return new ToolFailure('auth', status)
  if (status === 429) {
    const seconds = headers['retry-after']
    const known = seconds !== undefined && /^\d{1,6}$/.test(seconds) ? Number(seconds) : undefined
    return new ToolFailure('rate_limited', status, known)
  }
  return new ToolFailure('rejected', status)
}

/**
 * The transaction token as an object: what a run may do, and for whom. Its claims are read, never
 * proved; the raw token is private and leaves only through `raw`.
 */
import { TraTAcquisitionError } from './errors.ts'
import { jwtPayload } from './jwt.ts'
import { inspectHook, mask } from './mask.ts'
import type { AllowedModels } from './model-selector.ts'

/** `tctx`: the transaction. */
export interface TransactionContext {
  readonly runId: string
  readonly orgId: string
  readonly repoUrl: string
  readonly agentType: string
  readonly agentMode: string
  readonly allowedModels: AllowedModels
  readonly allowedProviders: readonly string[]
  /** MCP tools by server name. */
  readonly allowedTools: Readonly<Record<string, readonly string[]>>
}

/** `rctx`: who asked. For the record only; nothing is allowed because of it. */
export interface RequesterContext {
  readonly trigger: string
  readonly prNumber: number | undefined
  readonly actor: string
  readonly sourceIp: string
}

export interface TransactionClaims {
  readonly txn: string
  readonly sub: string
  /** Space-separated. */
  readonly scope: string
  /** The workload that requested the token. */
  readonly reqWl: string
  /** Seconds since the epoch. */
  readonly iat: number
  /** Seconds since the epoch. */
  readonly exp: number
  readonly aud: string
  readonly iss: string
  readonly tctx: TransactionContext
  readonly rctx: RequesterContext
}

export class TransactionToken implements TransactionClaims {
  readonly #raw: string
  readonly txn: string
  readonly sub: string
  readonly scope: string
  readonly reqWl: string
  readonly iat: number
  readonly exp: number
  readonly aud: string
  readonly iss: string
  readonly tctx: TransactionContext
  readonly rctx: RequesterContext

  constructor(raw: string, claims: TransactionClaims) {
    this.#raw = raw
    this.txn = claims.txn
    this.sub = claims.sub
    this.scope = claims.scope
    this.reqWl = claims.reqWl
    this.iat = claims.iat
    this.exp = claims.exp
    this.aud = claims.aud
    this.iss = claims.iss
    this.tctx = claims.tctx
    this.rctx = claims.rctx
    Object.freeze(this)
  }

  /** @throws TraTAcquisitionError when the text is no token, has no `txn`, or a claim has the wrong type. */
  static parse(raw: string): TransactionToken {
    const payload = jwtPayload(raw)
    if (payload === undefined) throw malformed('it is not a JWT')
    return new TransactionToken(raw, readClaims(payload))
  }

  /** The compact JWT. Do not log it. */
  get raw(): string {
    return this.#raw
  }

  /** @param nowMs Milliseconds since the epoch. */
  isExpired(nowMs: number = Date.now()): boolean {
    return nowMs >= this.exp * 1000
  }

  toString(): string {
    return `TransactionToken(${mask(this.#raw)}, txn=${this.txn}, exp=${this.exp})`
  }

  /** The claims, without the token. */
  toJSON(): TransactionClaims {
    const { txn, sub, scope, reqWl, iat, exp, aud, iss, tctx, rctx } = this
    return { txn, sub, scope, reqWl, iat, exp, aud, iss, tctx, rctx }
  }

  [inspectHook](): string {
    return this.toString()
  }
}

type Claims = Readonly<Record<string, unknown>>

function readClaims(claims: Claims): TransactionClaims {
  const tctx = objectOf(claims, 'tctx')
  const rctx = objectOf(claims, 'rctx')
  const txn = textOf(claims, 'txn')
  if (txn === '') throw malformed('txn is missing')
  return {
    txn,
    sub: textOf(claims, 'sub'),
    scope: textOf(claims, 'scope'),
    reqWl: textOf(claims, 'req_wl'),
    iat: numberOf(claims, 'iat') ?? 0,
    exp: numberOf(claims, 'exp') ?? 0,
    aud: textOf(claims, 'aud'),
    iss: textOf(claims, 'iss'),
    tctx: {
      runId: textOf(tctx, 'run_id'),
      orgId: textOf(tctx, 'org_id'),
      repoUrl: textOf(tctx, 'repo_url'),
      agentType: textOf(tctx, 'agent_type'),
      agentMode: textOf(tctx, 'agent_mode'),
      allowedModels: modelsOf(objectOf(tctx, 'allowed_models')),
      allowedProviders: textsOf(tctx, 'allowed_providers'),
      allowedTools: toolsOf(objectOf(tctx, 'allowed_tools')),
    },
    rctx: {
      trigger: textOf(rctx, 'trigger'),
      prNumber: numberOf(rctx, 'pr_number'),
      actor: textOf(rctx, 'actor'),
      sourceIp: textOf(rctx, 'source_ip'),
    },
  }
}

function modelsOf(models: Claims): AllowedModels {
  return {
    triage: textsOf(models, 'triage'),
    analysis: textsOf(models, 'analysis'),
    reasoning: textsOf(models, 'reasoning'),
    embeddings: textsOf(models, 'embeddings'),
  }
}

function toolsOf(tools: Claims): Record<string, readonly string[]> {
  return Object.fromEntries(Object.keys(tools).map((server) => [server, textsOf(tools, server)]))
}

function textOf(claims: Claims, name: string): string {
  const value = claims[name] === undefined ? '' : claims[name]
  if (typeof value !== 'string') throw malformed(`${name} is not a string`)
  return value
}

function numberOf(claims: Claims, name: string): number | undefined {
  const value = claims[name]
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw malformed(`${name} is not a number`)
  }
  return value
}

function textsOf(claims: Claims, name: string): readonly string[] {
  const value = claims[name] === undefined ? [] : claims[name]
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw malformed(`${name} is not a list of strings`)
  }
  return value
}

function objectOf(claims: Claims, name: string): Claims {
  const value = claims[name] === undefined ? {} : claims[name]
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(`${name} is not an object`)
  }
  return value as Claims // just checked
}

function malformed(detail: string): TraTAcquisitionError {
  return new TraTAcquisitionError(`The transaction token is malformed: ${detail}`)
}

/**
 * `http_request`: makes the call with the secret injected and gives back the reply without it
 * (wire contract §7.7, §8). The outbound rules are egress/'s; this file asks policy before every hop.
 */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { principalOf } from '../../call/perform.ts'
import { METHODS } from '../../egress/departure.ts'
import { buildInjection } from '../../egress/injection.ts'
import { recordsLookups } from '../../egress/lookup-record.ts'
import type { Hop } from '../../egress/redirect.ts'
import { requestHeaders } from '../../egress/request-headers.ts'
import { type EgressDeps, type EgressResult, type Grant, send } from '../../egress/send.ts'
import { parseTarget, type Target } from '../../egress/url.ts'
import type { Decision } from '../../policy/engine.ts'
import { hostMatches, isExactHost, parseHostPattern } from '../../policy/host.ts'
import type { Credential } from '../credential.ts'
import { baseContext, reasonOf, resourceOf } from '../methods/context.ts'
import { callerRecord } from '../record.ts'
import { MAX_REPLY_BYTES } from '../wire/reply.ts'
import {
  assertUnlocked,
  INJECTION_PARAMS,
  injectionContext,
  readInjection,
} from './injection-params.ts'
import type { Execution, Operation } from './operation.ts'
import {
  decode,
  invalid,
  optionalBoolean,
  optionalInteger,
  optionalString,
  type Params,
} from './params.ts'

/** The outbound door as the vault holds it. */
export interface Egress {
  readonly deps: EgressDeps
  /** Closes what is open on behalf of one credential. */
  dropCredential(path: string): void
}

const MAX_RESPONSE_BYTES = 3_000_000
const DEFAULT_RESPONSE_BYTES = 1_048_576
/** Envelope, URL and the smaller members of the result. */
const RESULT_ROOM = 40_960

export const httpRequestOperation: Operation = {
  params: [
    'url',
    'method',
    'headers',
    'body',
    'body_base64',
    'query',
    ...INJECTION_PARAMS,
    'timeout_ms',
    'follow_redirects',
    'max_response_bytes',
    'response_encoding',
  ],
  prepare(params, found) {
    const url = withQuery(requiredUrl(params), params['query'])
    const target = parseTarget(url)
    const method = (optionalString(params, 'method', 16) ?? 'GET').toUpperCase()
    if (!METHODS.some((known) => known === method)) {
      throw invalid('method', 'is not allowed', `Use one of ${METHODS.join(', ')}`)
    }
    const { body, contentType } = readBody(params)
    const headers = readHeaders(params['headers'], contentType)
    requestHeaders(headers, { slot: undefined, allowAgentAuth: true, userAgent: '' }) // refuses bad ones now
    const wanted = readInjection(params, found)
    const timeoutMs = optionalInteger(params, 'timeout_ms', { min: 100, max: 120_000 })
    const maxResponseBytes =
      optionalInteger(params, 'max_response_bytes', { min: 0, max: MAX_RESPONSE_BYTES }) ??
      DEFAULT_RESPONSE_BYTES
    const followRedirects = optionalBoolean(params, 'follow_redirects') ?? false
    const encoding = optionalString(params, 'response_encoding', 16) ?? 'auto'
    if (!['auto', 'text', 'base64'].includes(encoding)) {
      throw invalid('response_encoding', 'must be auto, text or base64')
    }
    const sent: SentFacts = {
      ...injectionContext(wanted),
      bodyBytes: body?.length ?? 0,
      contentType: contentTypeOf(headers),
    }
    const first = { target, method, sendsBody: body !== undefined }
    return {
      context: hopContext(sent, first, found),
      data: { target: targetData(method, target), bytes_out: body?.length ?? 0 },
      approvalParams: {
        url: target.href,
        method,
        headers: headers.map(([name, value]) => [name.toLowerCase(), value]),
        body: body?.toString('base64') ?? null,
        injection: wanted.spec,
        follow_redirects: followRedirects,
      },
      check: (credential) => assertUnlocked(wanted, credential),
      hold: ({ vault, session }) => vault.limits.takeHttpSlot(session),
      async run(execution) {
        const { call, decision, open, note, path } = execution
        const { secret, version, credential } = await open()
        using value = secret
        using injection = buildInjection(wanted.spec, value)
        const { obligations } = decision
        const result = await send(
          {
            url,
            method,
            headers,
            ...(body !== undefined && { body }),
            injection,
            timeoutMs: timeoutMs ?? call.vault.settings.egressTimeoutMs,
            maxResponseBytes: Math.min(
              maxResponseBytes,
              obligations.maxResponseBytes ?? MAX_RESPONSE_BYTES,
            ),
            followRedirects,
            ...(obligations.responseHeaders !== undefined && {
              responseHeadersAllow: obligations.responseHeaders,
            }),
            ...(obligations.onReflection !== undefined && {
              onReflection: obligations.onReflection,
            }),
            allowAgentAuth: obligations.allowAgentAuth ?? false,
            poolKey: { path, version },
            authorize: (_target, hop, planned) =>
              hop === 0
                ? grantOf(decision, credential, target)
                : authorizeHop(execution, credential, sent, planned),
            onLookup: recordsLookups(call.vault.stations.audit, {
              caller: execution.caller,
              requestId: call.requestId,
            }),
            signal: call.signal,
          },
          call.vault.egress.deps,
        ).catch(async (error: unknown) => {
          await recordFailure(execution, error)
          throw error
        })
        note(outcomeData(result, version))
        if (result.redactions.count > 0) {
          const { count, places } = result.redactions
          await recordEgress(execution, 'egress.reflection', {
            host: result.target.host,
            redactions: count,
            places,
          })
        }
        return { result: resultMembers(result, encoding) }
      },
    }
  },
}

/** What a hop carries, as far as policy is told. */
interface SentFacts {
  readonly headerType: string
  readonly headerName: string
  readonly bodyBytes: number
  /** Media type; undefined when the agent names none. */
  readonly contentType: string | undefined
}

function hopContext(
  { headerType, headerName, bodyBytes, contentType }: SentFacts,
  { target, method, sendsBody }: Hop,
  found: Credential | undefined,
) {
  return {
    method,
    headerType,
    headerName,
    requestBytes: sendsBody ? bodyBytes : 0,
    ...(contentType !== undefined && { contentType }),
    target,
    credentialHosts: boundHosts(found, target),
  }
}

/** Hop 0 was decided before anything happened; every later one is a question of its own. */
function authorizeHop(
  { call, caller, decision: first, path }: Execution,
  credential: Credential,
  sent: SentFacts,
  hop: Hop,
): Grant {
  const decision = call.vault.stations.policy.decide({
    principal: principalOf(caller),
    action: 'vault:use:http_request',
    resource: resourceOf(path, credential),
    context: {
      ...baseContext(call, reasonOf(call)),
      ...hopContext(sent, hop, credential),
      redirect: true,
    },
  })
  if (decision.allow) return grantOf(decision, credential, hop.target)
  const { host } = hop.target
  throw new VestryError('REDIRECT_BLOCKED', `the redirect leads to '${host}': ${decision.reason}`, {
    hint: `"vestry why ${first.id}" shows what was allowed`,
    context: { path, host, reason_code: decision.reasonCode },
  })
}

export function grantOf(decision: Decision, credential: Credential, target: Target): Grant {
  const listed = [...decision.hostPatterns, ...(credential.settings.allowed_hosts ?? [])]
  const { obligations } = decision
  return {
    exactHost: listed.some((pattern) => isExactHost(parseHostPattern(pattern), target)),
    allowHttp: obligations.allowHttp ?? false,
    followRedirects: obligations.allowRedirects ?? false,
    ...(obligations.pinSha256 !== undefined && { pinSha256: obligations.pinSha256 }),
  }
}

export function boundHosts(
  found: Credential | undefined,
  target: Target,
): 'absent' | 'match' | 'mismatch' {
  const bound = found?.settings.allowed_hosts
  if (bound === undefined || bound.length === 0) return 'absent'
  return bound.some((pattern) => hostMatches(parseHostPattern(pattern), target))
    ? 'match'
    : 'mismatch'
}

function requiredUrl(params: Params): string {
  const url = optionalString(params, 'url', 16_384)
  if (url === undefined) throw invalid('url', 'is required')
  return url
}

function withQuery(url: string, query: unknown): string {
  if (query === undefined || query === null) return url
  if (typeof query !== 'object' || Array.isArray(query)) throw invalid('query', 'must be an object')
  const pairs = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (!['string', 'number', 'boolean'].includes(typeof one)) {
        throw invalid('query', 'values must be strings, numbers or booleans')
      }
      const text = String(one)
      if (!name.isWellFormed() || !text.isWellFormed())
        throw invalid('query', 'holds an unpaired surrogate')
      pairs.append(name, text)
    }
  }
  if (pairs.size === 0) return url
  const [whole = ''] = url.split('#', 1) // a fragment is never sent
  return `${whole}${whole.includes('?') ? '&' : '?'}${pairs}`
}

function readBody(params: Params): { body: Buffer | undefined; contentType: string | undefined } {
  const { body, body_base64: encoded } = params
  const hasBody = body !== undefined && body !== null
  if (hasBody && encoded !== undefined && encoded !== null) {
    throw invalid('body', 'and body_base64 are both given')
  }
  if (encoded !== undefined && encoded !== null) {
    if (typeof encoded !== 'string') throw invalid('body_base64', 'must be a string')
    return { body: decode(encoded, 'base64', 'body_base64'), contentType: undefined }
  }
  if (!hasBody) return { body: undefined, contentType: undefined }
  if (typeof body === 'string') {
    if (!body.isWellFormed()) throw invalid('body', 'holds an unpaired surrogate')
    return { body: Buffer.from(body, 'utf8'), contentType: undefined }
  }
  if (typeof body !== 'object') throw invalid('body', 'must be a string, an object or an array')
  return { body: Buffer.from(JSON.stringify(body), 'utf8'), contentType: 'application/json' }
}

function readHeaders(given: unknown, contentType: string | undefined): [string, string][] {
  const pairs: [string, string][] = []
  const add = (name: unknown, value: unknown): void => {
    if (typeof name !== 'string' || typeof value !== 'string') {
      throw invalid('headers', 'must map names to strings')
    }
    pairs.push([name, value])
  }
  if (Array.isArray(given)) {
    for (const pair of given) {
      if (!Array.isArray(pair) || pair.length !== 2)
        throw invalid('headers', 'must be [name, value] pairs')
      add(pair[0], pair[1])
    }
  } else if (typeof given === 'object' && given !== null) {
    for (const [name, value] of Object.entries(given)) add(name, value)
  } else if (given !== undefined && given !== null) {
    throw invalid('headers', 'must be an object or an array of pairs')
  }
  const typed = pairs.some(([name]) => name.toLowerCase() === 'content-type')
  if (contentType !== undefined && !typed) pairs.push(['content-type', contentType])
  return pairs
}

/** @throws VestryError INVALID_PARAMS for more than one: policy must judge the one that counts. */
export function contentTypeOf(headers: readonly (readonly [string, string])[]): string | undefined {
  const [value, ...others] = headers
    .filter(([name]) => name.toLowerCase() === 'content-type')
    .map(([, text]) => text)
  if (others.length > 0) throw invalid('headers', 'name a content type twice')
  return value === undefined ? undefined : (value.split(';', 1)[0] ?? '').trim().toLowerCase()
}

/** Names of query parameters only: their values may be anything. */
function targetData(
  method: string,
  {
    scheme,
    host,
    port,
    path,
    queryNames,
  }: Pick<Target, 'scheme' | 'host' | 'port' | 'path' | 'queryNames'>,
): Record<string, unknown> {
  return {
    method,
    scheme,
    host,
    port,
    path,
    query: queryNames,
    ...(scheme === 'http' && { cleartext: true }),
  }
}

function outcomeData(result: EgressResult, version: number): Record<string, unknown> {
  return {
    version,
    status: result.status,
    bytes_in: result.bytesIn,
    bytes_out: result.bytesOut,
    redirects: result.redirects,
    redactions: result.redactions.count,
    host: result.target.host,
  }
}

async function recordFailure(execution: Execution, error: unknown): Promise<void> {
  if (!(error instanceof VestryError)) return
  const { code, context } = error
  if (code === 'SSRF_BLOCKED' || code === 'REDIRECT_BLOCKED') {
    await recordEgress(execution, 'egress.blocked', { code, host: context['host'] ?? null })
  } else if (context['redactions'] !== undefined) {
    const { redactions, places } = context
    execution.note({ redactions })
    await recordEgress(execution, 'egress.reflection', { code, redactions, places })
  }
}

/** What an operator should look at, beside the outcome of the call: counts and places, no content. */
async function recordEgress(
  { call, caller, path }: Execution,
  action: 'egress.blocked' | 'egress.reflection',
  data: Record<string, unknown>,
): Promise<void> {
  await call.vault.stations.audit.append(
    callerRecord(caller, {
      action,
      detail: `use:http_request ${path}`,
      requestId: call.requestId,
      success: false,
      data: { path, severity: 'high', ...data },
    }),
    'written',
  )
}

function resultMembers(result: EgressResult, encoding: string): Record<string, unknown> {
  const base = {
    status: result.status,
    headers: result.headers,
    headers_dropped: result.headersDropped,
    url: result.url,
    redirects: result.redirects,
    elapsed_ms: result.elapsedMs,
    redactions: result.redactions.count,
  }
  const room = MAX_REPLY_BYTES - RESULT_ROOM - Buffer.byteLength(JSON.stringify(base))
  return { ...base, ...bodyMembers(result, encoding, room) }
}

/** Text while it fits once escaped, else base64, else as much of it as fits. */
function bodyMembers({ body, truncated }: EgressResult, encoding: string, room: number) {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  if (encoding !== 'base64' && (encoding === 'text' || isUtf8(bytes))) {
    const text = bytes.toString('utf8')
    if (Buffer.byteLength(JSON.stringify(text)) <= room) {
      return { body: text, body_encoding: 'utf8', truncated }
    }
  }
  const fits = Math.floor((room - 2) / 4) * 3
  return {
    body: bytes.subarray(0, fits).toString('base64'),
    body_encoding: 'base64',
    truncated: truncated || bytes.length > fits,
  }
}

/** `http_request(url)`, `http_request(method, url, body: …, headers: …)`: guarded, and secrets opened only as it is sent. */
import { VestryError } from '@vestry/contract/errors'
import { type EffectCall, SecretRef, type Value } from '../../../dsl/host.ts'
import { isRecord } from '../../../dsl/interpreter/values.ts'
import { argument, plain, wrong } from '../arguments.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
])
const HARMLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD'])
const MAX_BODY_BYTES = 4 * 1024 * 1024

export async function httpRequest(
  run: ProgramRun,
  call: EffectCall,
  signal: AbortSignal,
): Promise<Value> {
  const { method, url, headers, body } = read(call)
  const { doors } = run
  const operation = {
    op: 'http',
    name: url.hostname,
    tags: [url.host],
    args: { method, url: url.href, host: url.hostname, body: body ?? null },
  } as const
  const asked = { repeatable: HARMLESS.has(method), operation }
  return effectStep(run, call, asked, async (caller): Promise<Value> => {
    const reply = await doors.http().send({
      agent: run.agent,
      caller,
      requestId: doors.newRequestId(),
      method,
      url: url.href,
      headers,
      body,
      timeoutMs: doors.toolTimeoutMs,
      signal,
    })
    return { ...reply, headers: { ...reply.headers } }
  })
}

function read(call: EffectCall) {
  const [first, second] = call.args
  const byPlace = typeof first === 'string' && METHODS.has(first.toUpperCase())
  const shift = byPlace ? 1 : 0
  const method = byPlace ? first : (call.named['method'] ?? 'GET')
  if (typeof method !== 'string' || !METHODS.has(method.toUpperCase()))
    throw wrong(call, `method must be one of ${[...METHODS].join(', ')}`)
  const target = call.named['url'] ?? (byPlace ? second : first)
  if (typeof target !== 'string' || !URL.canParse(target))
    throw wrong(call, 'url must be an absolute URL')
  const url = new URL(target)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw wrong(call, 'url must be an http or https URL')
  const body = bodyOf(call, argument(call, 'body', 1 + shift))
  if (body !== undefined && BODILESS.has(method.toUpperCase()))
    throw wrong(call, `a ${method.toUpperCase()} has no body: http_request("POST", url, body: …)`)
  const isJson = body?.isJson === true
  const given = headersOf(call, argument(call, 'headers', 2 + shift))
  const headers = isJson && !('content-type' in given) ? { ...given, ...JSON_TYPE } : given
  return { method: method.toUpperCase(), url, headers, body: body?.text }
}

const JSON_TYPE = { 'content-type': 'application/json' }

function bodyOf(
  call: EffectCall,
  value: Value | undefined,
): { text: string; isJson: boolean } | undefined {
  if (value === undefined || value === null) return undefined
  const text = typeof value === 'string' ? value : JSON.stringify(plain(call, value))
  if (Buffer.byteLength(text) > MAX_BODY_BYTES)
    throw new VestryError('REQUEST_TOO_LARGE', `A body may take ${MAX_BODY_BYTES} bytes`)
  return { text, isJson: typeof value !== 'string' }
}

function headersOf(call: EffectCall, value: Value | undefined): Record<string, string | SecretRef> {
  if (value === undefined || value === null) return {}
  if (!isRecord(value)) throw wrong(call, 'headers must be a record')
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      if (typeof one === 'string' || one instanceof SecretRef) return [name.toLowerCase(), one]
      throw wrong(call, `header "${name}" must be text or a secret`)
    }),
  )
}

/** A tool that an operator described in a file, as the gateway runs it. */
import { propertiesOf } from './action-defaults.ts'
import { toolDigest } from './digest.ts'
import { type HttpRequest, renderRequest } from './http-request.ts'
import { atPointer } from './json-pointer.ts'
import { paramCheck } from './param-schema.ts'
import { characters, plainParams } from './params.ts'
import { assertSuccess, parsedJson } from './reply-json.ts'
import {
  InvalidToolParams,
  type Json,
  type JsonObject,
  type Tool,
  type ToolAction,
  type UpstreamReply,
} from './tool.ts'
import { credentialInjection } from './tool-check.ts'
import type { ToolFile, ToolFileAction } from './tool-file.ts'

/** @param file Of `parseToolFile` or `acceptTool`. */
export function httpTool(file: ToolFile, origin: 'config' | 'operator'): Tool {
  return {
    name: file.name,
    description: file.description,
    origin,
    digest: toolDigest(toolDefinition(file)),
    actions: new Map(
      Object.entries(file.actions).map(([name, action]) => [name, httpAction(file, name, action)]),
    ),
    ...(file.credential !== undefined && {
      credential: { path: file.credential.path, inject: credentialInjection(file.credential) },
    }),
  }
}

/** The whole file, defaults filled in: whatever changes in it is another tool. */
export function toolDefinition(file: ToolFile): JsonObject {
  return JSON.parse(JSON.stringify(file)) as JsonObject // made of JSON values only
}

function httpAction(file: ToolFile, name: string, action: ToolFileAction): ToolAction {
  const check = paramCheck(action.params)
  const names = Object.keys(propertiesOf(action.params))
  const render = (params: JsonObject): HttpRequest => {
    const rendered = renderRequest(file.base_url, action, params)
    if ('problems' in rendered) throw new InvalidToolParams(rendered.problems.map(unloaded))
    return rendered.request
  }
  return {
    name,
    description: action.description,
    permission: action.permission,
    repeatable: action.repeatable,
    ...(action.idempotency_header !== undefined && {
      idempotencyHeader: action.idempotency_header,
    }),
    cacheMs: action.cache_seconds * 1_000,
    timeoutMs: action.timeout_ms,
    costMicros: Math.round(action.cost_usd * 1_000_000),
    schema: action.params,
    normalise: (given) => {
      const { params, problems } = check(plainParams(given))
      if (problems.length > 0) throw new InvalidToolParams(problems)
      const known = only(params, names)
      // Tried here, where what cannot be sent is still the caller's mistake.
      render(known)
      return known
    },
    facts: (params) => ({ lengths: textLengths(params) }),
    request: (params, { correlationId, idempotencyKey }) => {
      const { url, headers, body } = render(params)
      headers.push(['X-Correlation-Id', correlationId])
      if (action.idempotency_header !== undefined && idempotencyKey !== undefined) {
        headers.push([action.idempotency_header, idempotencyKey])
      }
      return {
        url,
        method: action.method,
        headers,
        ...(body !== undefined && { body }),
        timeoutMs: action.timeout_ms,
        maxResponseBytes: action.max_response_bytes,
        followRedirects: false,
      }
    },
    result: (reply) => picked(replyValue(reply), action.result),
    mock: (params) =>
      action.mock === undefined
        ? { mock: true, tool: file.name, action: name, params }
        : structuredClone(action.mock),
  }
}

/** The document, else the text, else null. */
function replyValue(reply: UpstreamReply): Json {
  assertSuccess(reply)
  if (reply.body.length === 0) return null
  const text = Buffer.from(reply.body).toString('utf8')
  return parsedJson(text) ?? text
}

function picked(value: Json, result: ToolFileAction['result']): Json {
  if (result === undefined) return value
  if (typeof result === 'string') return atPointer(value, result)
  return Object.fromEntries(
    Object.entries(result).map(([name, pointer]) => [name, atPointer(value, pointer)]),
  )
}

function only(params: JsonObject, names: readonly string[]): JsonObject {
  const kept: JsonObject = {}
  for (const name of names) {
    const value = Object.hasOwn(params, name) ? params[name] : undefined
    if (value !== undefined) kept[name] = value
  }
  return kept
}

function textLengths(params: JsonObject): Record<string, number> {
  const lengths: Record<string, number> = {}
  for (const [name, value] of Object.entries(params)) {
    if (typeof value === 'string') lengths[name] = characters(value)
  }
  return lengths
}

/** A param may be named with one of the words that mark a denial. */
function unloaded(problem: string): string {
  const [name = '', ...rest] = problem.split(': ')
  return /policy|scope/i.test(name) ? ['*', ...rest].join(': ') : problem
}

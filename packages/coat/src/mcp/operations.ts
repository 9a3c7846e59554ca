/** What each method of a client is told as: the operation, its facts, and its captured values. */
import type { Framework } from '../adapters/framework.ts'
import type { CaptureChoice } from '../adapters/options.ts'
import { failure, toolError } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { present, presentOrNone, text } from '../adapters/shapes.ts'
import { classNameOf, dataMember, isObject } from '../capture/intrinsics.ts'
import { type Span, type SpanEnd, startSpan } from '../span.ts'

/** Whose calls are told, and as what. */
export interface Origin {
  readonly client: object
  readonly framework: Framework
  readonly capture: CaptureChoice
}

export interface Operation {
  begin(params: unknown, origin: Origin): Span
  end(result: unknown): SpanEnd
}

/** By the name of the client's method. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  callTool: {
    begin(params, origin) {
      const name = text(dataMember(params, 'name')) ?? 'callTool'
      return begin('tool', name, origin, {
        payload: { tool: { name, type: 'mcp' }, mcp: connection('tools/call', origin) },
        captured: { preview: { args: [], kwargs: dataMember(params, 'arguments') ?? {} } },
      })
    },
    end(result) {
      const isError = dataMember(result, 'isError') === true
      return {
        status: isError ? 'error' : 'ok',
        // The call succeeded, the tool did not.
        ...(isError && { error: toolError(firstText(result)), payload: { is_error: true } }),
        captured: { preview: { result: withoutMeta(result) } },
      }
    },
  },
  readResource: {
    begin: (params, origin) =>
      begin('memory.read', 'readResource', origin, {
        payload: { source: 'mcp', mcp: connection('resources/read', origin) },
        // An address tells what is read, so it is content.
        captured: { query: dataMember(params, 'uri') },
      }),
    end: (result) => counted(result, 'contents'),
  },
  getPrompt: {
    begin: (params, origin) =>
      begin('step', text(dataMember(params, 'name')) ?? 'getPrompt', origin, {
        payload: { step_kind: 'prompt', mcp: connection('prompts/get', origin) },
        captured: { preview: { args: [], kwargs: dataMember(params, 'arguments') ?? {} } },
      }),
    end: (result) => ({
      status: 'ok',
      captured: { preview: { result: withoutMeta(result) } },
    }),
  },
  listTools: listing('tools/list', 'tools'),
  listResources: listing('resources/list', 'resources'),
  listResourceTemplates: listing('resources/templates/list', 'resourceTemplates'),
  listPrompts: listing('prompts/list', 'prompts'),
}

/** The request was answered. */
export function answered(span: Span, operation: Operation, result: unknown): void {
  quietly(() => span.end(operation.end(result)))
}

/** The request failed, or was called off. */
export function refused(span: Span, error: unknown, signal: unknown): void {
  quietly(() => span.end({ status: failure(error, signal), error }))
}

function listing(method: string, member: string): Operation {
  return {
    begin: (_params, origin) =>
      begin('tool', method, origin, {
        payload: { tool: { name: method, type: 'mcp' }, mcp: connection(method, origin) },
      }),
    end: (result) => counted(result, member),
  }
}

function begin(
  op: string,
  fn: string,
  { framework, capture }: Origin,
  told: { payload: Record<string, unknown>; captured?: Record<string, unknown> },
): Span {
  return startSpan({ op, fn, framework, capture, ...told })
}

function counted(result: unknown, member: string): SpanEnd {
  const found = dataMember(result, member)
  return {
    status: 'ok',
    payload: present({ count: Array.isArray(found) ? found.length : undefined }),
    captured: { preview: { result: withoutMeta(result) } },
  }
}

/** The method, and what is known of the connection it goes over. */
export function connection(method: string, { client }: Origin): Record<string, unknown> {
  const { getServerVersion, transport } = client as {
    getServerVersion?: () => unknown
    transport?: unknown
  }
  const server = quietly(() => getServerVersion?.call(client))
  return present({
    method,
    server: text(dataMember(server, 'name')),
    ...transportFacts(transport),
  })
}

const TRANSPORTS: readonly (readonly [RegExp, string])[] = [
  [/^Stdio/, 'stdio'],
  [/^StreamableHTTP/, 'http'],
  [/^SSE/, 'sse'],
  [/^WebSocket/, 'websocket'],
  [/^InMemory/, 'in-memory'],
]

function transportFacts(transport: unknown): Record<string, unknown> | undefined {
  if (!isObject(transport)) return undefined
  const name = classNameOf(transport)
  return presentOrNone({
    session_id: text((transport as { sessionId?: unknown }).sessionId),
    protocol_version: text(dataMember(transport, '_protocolVersion')),
    transport: TRANSPORTS.find(([shape]) => shape.test(name))?.[1],
  })
}

/** The first text of a result: a tool that fails says why there. */
function firstText(result: unknown): string {
  const content = dataMember(result, 'content')
  const first: unknown = Array.isArray(content) ? content[0] : undefined
  return text(dataMember(first, 'text')) ?? ''
}

function withoutMeta(result: unknown): unknown {
  if (!isObject(result) || !('_meta' in result)) return result
  const { _meta: _, ...rest } = result as Record<string, unknown>
  return rest
}

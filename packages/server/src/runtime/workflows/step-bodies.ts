/** What steps of each kind do, in the name of whose run it is, each through its own stations. */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { Approvals } from '../../call/approval.ts'
import { SecretRef } from '../../dsl/host.ts'
import { type Caller, newCaller } from '../../identity/caller.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { isReference } from '../../secrets/resolver.ts'
import type { ToolSources } from '../agents/tool-source.ts'
import { type HttpEffectDeps, httpRequest, type SecretHeader } from '../effects/http.ts'
import type { AgentInvoker } from '../http-input/agent-invoker.ts'
import type { Programs } from '../programs/programs-api.ts'
import { analyse } from './data-analysis.ts'
import { isSecret, SecretText } from './expression-values.ts'
import { errorIn } from './step-error.ts'
import type { StepCall } from './walk.ts'

export interface BodyDeps {
  readonly http: HttpEffectDeps
  readonly tools: ToolSources
  /** Starts an agent as `caller`, and stops it. */
  readonly agents: WorkflowAgents
  readonly knowledge: WorkflowKnowledge
  readonly programs: () => Pick<Programs, 'runSource'> | undefined
  readonly approvals: Pick<Approvals, 'submit' | 'asked'>
  readonly signalled: (id: string, name: string) => Promise<{ readonly value: unknown } | undefined>
  readonly dataRoot: string
  /** Epoch ms. */
  readonly now: () => number
}

export interface WorkflowAgents {
  run(asked: {
    readonly agentName: string
    readonly input: unknown
    readonly trigger: string
    readonly caller: Caller
    readonly requestId: string
    readonly signal: AbortSignal
  }): Promise<Awaited<Awaited<ReturnType<AgentInvoker['start']>>['ended']>>
}

/** Who asks, and for how long. */
export interface Asking {
  readonly caller: Caller
  readonly requestId: string
  readonly signal: AbortSignal
}

export interface WorkflowKnowledge {
  search(asking: Asking, query: string, options: { readonly limit: number }): Promise<unknown>
  /** @param item As `POST knowledge` takes it. An item of the same id is replaced. */
  add(asking: Asking, item: Readonly<Record<string, unknown>>): Promise<unknown>
}

/** Whose run it is. */
export interface RunContext {
  readonly id: string
  readonly workflowId: string
  readonly caller: Caller
}

const MAX_REPLY_BYTES = 1_048_576

/** Each step has a span of its own below the run's. */
export function stepCaller({ caller }: RunContext): Caller {
  const { principal, peer, txn, holds, trace } = caller
  const from = { principal, peer, txn, ...(holds !== undefined && { holds }) }
  return newCaller(from, formatTraceparent(trace))
}

/** @returns JSON. @throws VestryError as what it does throws. */
export async function stepBody(
  deps: BodyDeps,
  run: RunContext,
  call: StepCall,
  caller: Caller,
): Promise<unknown> {
  const { given, signal } = call
  const asking = { caller, requestId: newRequestId(), signal }
  switch (call.kind) {
    case 'agent': {
      const input = given['input'] ?? {}
      const trigger = `workflow:${run.id}`
      const agentName = text(given, 'agent')
      const end = await deps.agents.run({ ...asking, agentName, input: open(input), trigger })
      if (end.status === 'completed') return end.output
      throw errorIn(end.error)
    }
    case 'tool':
      return toolCall(deps, call, asking)
    case 'dsl_action': {
      const programs = deps.programs()
      if (programs === undefined) throw new VestryError('NOT_READY', 'Programs are not served yet')
      const input = record(given['input'] ?? {})
      return programs.runSource({
        ...asking,
        source: text(given, 'source'),
        input: open(input) as Readonly<Record<string, unknown>>,
        executionId: run.id,
        signal,
      })
    }
    case 'knowledge.search':
      return deps.knowledge.search(asking, text(given, 'query'), { limit: limitOf(given) })
    case 'knowledge.add':
      return deps.knowledge.add(asking, knowledgeItem(given, `${run.id}-${call.key}`))
    case 'secret.get': {
      const reference = text(given, 'reference')
      if (!isReference(reference))
        throw new VestryError('INVALID_PARAMS', 'a reference is secret://<name> or vault://<path>')
      return { $secret: reference }
    }
    case 'http':
      return httpStep(deps, run, call, asking)
    case 'builtin':
      return builtin(deps, run, call, asking)
    default:
      throw new VestryError('INTERNAL_ERROR', `a step of kind ${call.kind} has no body`)
  }
}

type Given = Readonly<Record<string, unknown>>

async function toolCall(deps: BodyDeps, { given, signal, timeoutMs }: StepCall, asking: Asking) {
  const name = text(given, 'tool')
  const found = deps
    .tools()
    .filter(({ id, names, bare }) => id === name || names.includes(name) || bare === name)
  const exact = found.filter(({ id, names }) => id === name || names.includes(name))
  const [tool, ...others] = exact.length > 0 ? exact : found
  if (tool === undefined) throw new VestryError('UNKNOWN_TOOL', `There is no tool "${name}"`)
  if (others.length > 0)
    throw new VestryError('INVALID_PARAMS', `"${name}" is the name of several tools`)
  if (asking.caller.principal.kind !== 'agent' && !tool.id.startsWith('mcp/'))
    throw new VestryError('ACCESS_DENIED', 'Tools of the gateway are called by agents', {
      hint: 'Name an agent: agent_id',
    })
  const args = open(record(given['arguments'] ?? {})) as Given
  const answer = await tool.call({ ...asking, args, signal, timeoutMs })
  if (answer.isError)
    throw new VestryError('WORKFLOW_STEP_FAILED', `The tool failed: ${answer.text.slice(0, 500)}`)
  return jsonOr(answer.text)
}

async function httpStep(
  deps: BodyDeps,
  run: RunContext,
  { given, key, signal, timeoutMs }: StepCall,
  asking: Asking,
) {
  const { principal } = asking.caller
  const owner = principal.kind === 'agent' ? principal.agent.name : undefined
  const headers: [string, string][] = []
  let secretHeader: SecretHeader | undefined
  for (const [name, value] of Object.entries(record(given['headers'] ?? {}))) {
    if (!isSecret(value)) {
      headers.push([name, headerText(name, value)])
      continue
    }
    if (secretHeader !== undefined)
      throw new VestryError('INVALID_PARAMS', 'one header at most carries a secret')
    const [prefix, { name: reference }] =
      value instanceof SecretText ? [value.before, value.secret] : ['', value]
    secretHeader = { name, prefix, reference, owner }
  }
  const { body } = given
  const isText = typeof body === 'string'
  if (
    body !== undefined &&
    !isText &&
    !headers.some(([name]) => name.toLowerCase() === 'content-type')
  )
    headers.push(['Content-Type', 'application/json'])
  const bytes =
    body === undefined ? undefined : Buffer.from(isText ? body : JSON.stringify(open(body)))
  const reply = await httpRequest(deps.http, {
    ...asking,
    method: String(given['method'] ?? 'GET').toUpperCase(),
    url: text(given, 'url'),
    headers,
    ...(bytes !== undefined && { body: bytes }),
    secretHeader,
    timeoutMs: Math.min(timeoutMs, 120_000),
    maxResponseBytes: MAX_REPLY_BYTES,
    followRedirects: given['follow_redirects'] !== false,
    signal,
    data: { workflow: run.workflowId, execution: run.id, step: key },
  })
  // What is not asked for as an answer of any kind has failed.
  if (reply.status >= 400 && given['accept_status'] !== 'any')
    throw new VestryError(
      reply.status >= 500 ? 'UPSTREAM_FAILED' : 'UPSTREAM_REJECTED',
      `The other side answered ${reply.status}`,
    )
  const { status, headers: told, url } = reply
  return { status, headers: told, url, ...bodyMembers(reply.body) }
}

/** Text, JSON where it is that; what is neither comes in base64 and says so. */
function bodyMembers(bytes: Uint8Array) {
  const content = Buffer.from(bytes)
  if (isUtf8(content)) return { body: jsonOr(content.toString('utf8')) }
  return { body: content.toString('base64'), body_encoding: 'base64' }
}

function headerText(name: string, value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new VestryError('INVALID_PARAMS', `header "${name}" must be text`)
}

async function builtin(deps: BodyDeps, run: RunContext, call: StepCall, asking: Asking) {
  const parameters = record(call.given['parameters'] ?? {})
  if (call.given['name'] === 'data-analysis-workflow')
    return analyse(parameters['input_data'], deps.dataRoot, call.signal)
  if (call.given['name'] !== 'knowledge-ingest') return parameters
  const items: unknown[] = []
  for (const [at, item] of ingested(parameters).entries()) {
    call.signal.throwIfAborted()
    items.push(await deps.knowledge.add(asking, knowledgeItem(record(item), `${run.id}-${at}`)))
  }
  return { stored: items.length, items }
}

function ingested(parameters: Given): readonly unknown[] {
  const { items, ...one } = parameters
  return Array.isArray(items) ? items : [one]
}

/** An item as it is, or a text with its source; one that has no id gets one that is the same at each try. */
function knowledgeItem(given: Given, fallbackId: string): Given {
  const { text: content, content: whole, id, metadata, ...more } = given
  const told = record(metadata ?? {})
  return {
    id: id ?? fallbackId,
    content: whole ?? content,
    ...(more['embedding'] !== undefined && { embedding: more['embedding'] }),
    metadata: {
      source: more['source'] ?? 'workflow',
      source_type: more['source_type'] ?? 'document',
      timestamp: more['timestamp'] ?? new Date().toISOString(),
      agent_id: more['agent_id'] ?? null,
      ...(more['labels'] !== undefined && { labels: more['labels'] }),
      ...told,
    },
  }
}

/** @throws VestryError INVALID_PARAMS for a secret: it goes nowhere but into a header. */
export function open(value: unknown): unknown {
  if (isSecret(value) || value instanceof SecretRef)
    throw new VestryError('INVALID_PARAMS', 'a secret can only be sent in a header of an http step')
  if (Array.isArray(value)) return value.map(open)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, open(member)]))
}

export function text(given: Given, name: string): string {
  const value = given[name]
  if (typeof value === 'string' && value !== '') return value
  throw new VestryError('INVALID_PARAMS', `${name} is a text`)
}

function record(value: unknown): Given {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !isSecret(value))
    return value as Given
  throw new VestryError('INVALID_PARAMS', 'this is a record')
}

function limitOf({ limit = 10 }: Given): number {
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 1 && limit <= 100)
    return limit
  throw new VestryError('INVALID_PARAMS', 'limit is a whole number from 1 to 100')
}

function jsonOr(content: string): unknown {
  try {
    return JSON.parse(content)
  } catch {
    return content
  }
}

/** What each family of kinds says in either vocabulary. */
import type { Attributes } from './attributes.ts'
import { inputMessages, MAX_MESSAGES, outputMessages, rolesOnly } from './chat-messages.ts'
import {
  type CoatEvent,
  count,
  list,
  members,
  number,
  type Payload,
  text,
  texts,
  typeIn,
} from './coat-event.ts'
import type { Told } from './content.ts'
import { FAMILIES, type FamilyName } from './family.ts'
import { providerNames } from './provider-names.ts'
import { ENVPOD, GEN_AI, OI, OTEL } from './semconv.ts'
import { asText, callInput, captured, isHidden, setIo, setMessages } from './told-io.ts'
import { Double, measure, type Value } from './value.ts'

/** What is described: one event, or a span made of two. */
export interface View {
  /** Metadata of both ends, for naming; captured values are read from `start` and `end` only. */
  readonly facts: Payload
  readonly start: CoatEvent | undefined
  readonly end: CoatEvent | undefined
  readonly toldStart: Told
  readonly toldEnd: Told
  readonly claimed: boolean
  /** The trace holds a model call, which counts its own tokens. */
  readonly modelCalls: boolean
  /** On log records values keep their structure. */
  readonly structured: boolean
}

type Describe = (into: Attributes, view: View) => void

const DESCRIBE: Readonly<Record<FamilyName, Describe>> = {
  session: () => {},
  run: (into, view) => {
    callIo(into, view)
    const totals = members(view.end?.payload['totals'])
    const input = count(totals?.['input_tokens'])
    const output = count(totals?.['output_tokens'])
    into.set(GEN_AI.inputTokens, input).set(GEN_AI.outputTokens, output)
    into.set(ENVPOD.turns, count(view.end?.payload['turns']))
    if (view.modelCalls) return
    into.set(OI.promptTokens, input).set(OI.completionTokens, output)
    if (input !== undefined || output !== undefined)
      into.set(OI.totalTokens, (input ?? 0) + (output ?? 0))
    into.set(OI.cost, measure(totals?.['cost_usd']))
  },
  step: (into, view) => {
    callIo(into, view)
    graphOf(into, view.facts)
    if (FAMILIES.step.operation(view.facts) === 'invoke_workflow')
      into.set(GEN_AI.workflow, text(view.facts['fn']))
  },
  llm: (into, view) => {
    callIo(into, view)
    modelOf(into, view)
    if (view.start !== undefined) requestOf(into, view, view.start)
    if (view.end !== undefined) responseOf(into, view, view.end)
  },
  tool: toolOf,
  'memory.read': (into, view) => {
    const { start, end, toldStart, facts } = view
    const query = toldStart.value('query')
    setIo(into, 'input', toldStart, captured(start, 'query'), query)
    resultIo(into, view)
    const retrieval = facts['source'] === 'retriever'
    const asked = query === undefined || isHidden('input', toldStart) ? undefined : asText(query)
    into.set(retrieval ? GEN_AI.dataSource : GEN_AI.memoryStore, text(facts['store']))
    into.set(retrieval ? GEN_AI.retrievalQuery : GEN_AI.memoryQuery, asked)
    if (retrieval) into.set(GEN_AI.topK, count(facts['top_k']))
    else into.set(GEN_AI.memoryCount, count(end?.payload['count']))
    const scores = list(end?.payload['scores'])
    for (const [index, id] of list(end?.payload['ids']).entries()) {
      const at = `${OI.documents}.${index}.`
      if (typeof id === 'string' || typeof id === 'number') into.set(at + OI.documentId, String(id))
      into.set(at + OI.documentScore, measure(scores[index]))
    }
    documentsOf(into, view.toldEnd)
  },
  'memory.write': (into, view) => {
    callIo(into, view)
    memoryOf(into, view)
  },
  'memory.delete': memoryOf,
  subagent: (into, view) => {
    const { start, toldStart, facts, claimed } = view
    const name = text(facts['name'])
    const hasTask = captured(start, 'task')
    if (hasTask) setIo(into, 'input', toldStart, true, toldStart.value('task'))
    else inputIo(into, view)
    resultIo(into, view)
    graphOf(into, facts)
    into.set(ENVPOD.subagent, name)
    // The ids of the caller are not those of who it calls.
    into.delete(GEN_AI.agentId)
    into.delete(GEN_AI.agentName)
    if (claimed) into.set(GEN_AI.agentName, name)
  },
  human: (into, { facts, start, end, toldStart, toldEnd }) => {
    setIo(into, 'input', toldStart, captured(start, 'prompt'), toldStart.value('prompt'))
    setIo(into, 'output', toldEnd, captured(end, 'answer'), toldEnd.value('answer'))
    into.set(ENVPOD.humanRequest, text(facts['request']))
    into.set(ENVPOD.humanQueue, text(facts['queue_id']))
    into.set(ENVPOD.humanOutcome, text(end?.payload['outcome']))
    into.set(ENVPOD.humanWaited, measure(end?.payload['waited_ms']))
  },
}

/** What was found, as libraries return it: texts, or objects that hold one. */
function documentsOf(into: Attributes, told: Told): void {
  if (isHidden('output', told)) return
  const found = resultOf(told)
  const documents = Array.isArray(found) ? found : list(members(found)?.['documents'])
  into.countDropped(Math.max(0, documents.length - MAX_MESSAGES))
  for (const [index, item] of documents.slice(0, MAX_MESSAGES).entries()) {
    const document: Payload = members(item) ?? { text: item }
    const { pageContent, page_content: other, content, text: plain, metadata } = document
    const at = `${OI.documents}.${index}.`
    const said = text(pageContent) ?? text(other) ?? text(content) ?? text(plain)
    into.set(at + OI.documentContent, said)
    if (members(metadata) !== undefined) into.set(at + OI.documentMetadata, asText(metadata))
  }
}

/** Everything that depends on the kind: span kind, operation, inputs and outputs, errors. */
export function describeKind(into: Attributes, family: FamilyName, view: View): void {
  const { kind, operation } = FAMILIES[family]
  into.set(OI.spanKind, kind?.(view.facts))
  into.set(GEN_AI.operation, operation(view.facts))
  DESCRIBE[family](into, view)
  into.set(ENVPOD.status, text(view.end?.payload['status']))
  into.set(ENVPOD.duration, measure(view.end?.payload['duration_ms']))
  into.set(OTEL.errorType, errorType(view.end))
}

/** Of few values: a code or the name of a class, never a message. */
export function errorType(end: CoatEvent | undefined): string | undefined {
  if (end === undefined) return undefined
  const { error, is_error: isError, status } = end.payload
  if (isError === true) return 'tool_error'
  const told = members(error)
  const type = typeIn(told?.['code']) ?? typeIn(told?.['type'])
  return type ?? (status === 'error' || told !== undefined ? '_OTHER' : undefined)
}

function callIo(into: Attributes, view: View): void {
  inputIo(into, view)
  resultIo(into, view)
}

function inputIo(into: Attributes, { start, toldStart }: View): void {
  const input = callInput(toldStart.value('preview'))
  // An empty call has a preview and no input.
  const has = callInput(start?.payload['preview']) !== undefined
  setIo(into, 'input', toldStart, has, input)
}

function resultIo(into: Attributes, { end, toldEnd }: View): void {
  const has = members(end?.payload['preview'])?.['result'] !== undefined
  setIo(into, 'output', toldEnd, has, resultOf(toldEnd))
}

function resultOf(told: Told): unknown {
  return members(told.value('preview'))?.['result']
}

function modelOf(into: Attributes, { facts }: View): void {
  const asked = text(facts['model'])
  const answered = text(facts['response_model'])
  const provider = text(facts['provider'])
  const embeds = FAMILIES.llm.kind?.(facts) === 'EMBEDDING'
  const names = provider === undefined ? undefined : providerNames(provider)
  into.set(GEN_AI.provider, names?.genAi)
  into.set(GEN_AI.requestModel, asked)
  if (embeds) {
    into.set(OI.embeddingModel, answered ?? asked)
    return
  }
  into.set(OI.system, names?.system).set(OI.provider, names?.provider)
  into.set(OI.model, answered ?? asked).set(OI.requestModel, asked)
}

/** Characters. */
const MAX_WORD = 64

/** Parameters whose names both vocabularies know. */
const PARAMETERS: readonly (readonly [string, string, (value: unknown) => Value | undefined])[] = [
  ['temperature', GEN_AI.temperature, measure],
  ['max_tokens', GEN_AI.maxTokens, count],
  ['top_p', GEN_AI.topP, measure],
  ['top_k', GEN_AI.topK, count],
  ['seed', GEN_AI.seed, integer],
  ['stream', GEN_AI.stream, (value) => (typeof value === 'boolean' ? value : undefined)],
]

function requestOf(into: Attributes, view: View, { payload }: CoatEvent): void {
  const { toldStart, structured } = view
  const { hidden } = toldStart
  const parameters = members(payload['params'])
  if (parameters !== undefined && !hidden.parameters) {
    into.set(OI.parameters, JSON.stringify(settingsIn(parameters, toldStart.open)))
    for (const [member, name, read] of PARAMETERS) into.set(name, read(parameters[member]))
    const { stop } = parameters
    // What it stops at is a part of what was asked.
    if (toldStart.open)
      into.set(
        GEN_AI.stop,
        texts(stop) ?? (text(stop) === undefined ? undefined : [stop as string]),
      )
  }
  into.set(GEN_AI.outputType, outputType(payload['response_format']))
  if (!hidden.tools && !hidden.inputs)
    for (const [index, tool] of (texts(payload['tools']) ?? []).entries())
      into.set(`${OI.tools}.${index}.${OI.toolSchema}`, schemaOf(tool))
  const preview = members(toldStart.value('preview'))
  const found = preview === undefined ? [] : inputMessages(preview)
  const messages = found.length > 0 ? found : rolesOnly(members(payload['messages']))
  if (FAMILIES.llm.kind?.(view.facts) === 'LLM')
    setMessages(into, 'input', toldStart, messages, structured)
}

/** Settings that are words. Others may be a name, or what was asked. */
const WORDS: ReadonlySet<string> = new Set([
  ...['effort', 'reasoning_effort', 'verbosity', 'service_tier', 'tool_choice', 'modality'],
  ...['encoding_format', 'size', 'quality', 'style', 'voice', 'input_type', 'truncate'],
])

/**
 * Settings are numbers and words. Whatever else a library passes along may be what was said, and stays.
 *
 * @param open Content is told, too.
 */
function settingsIn(parameters: Payload, open: boolean): Payload {
  const isSetting = (name: string, value: unknown): boolean =>
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    (typeof value === 'string' && value.length <= MAX_WORD && (open || WORDS.has(name)))
  return Object.fromEntries(
    Object.entries(parameters).filter(
      ([name, value]) =>
        isSetting(name, value) ||
        (Array.isArray(value) && value.every((item) => isSetting(name, item))),
    ),
  )
}

/** Only names of tools are known here. */
function schemaOf(name: string): string {
  return JSON.stringify({ type: 'function', function: { name } })
}

function outputType(format: unknown): string | undefined {
  const type = text(format) ?? text(members(format)?.['type'])
  if (type === undefined) return undefined
  return type.startsWith('json') ? 'json' : type
}

function responseOf(into: Attributes, view: View, { payload }: CoatEvent): void {
  const { toldEnd, structured } = view
  const model = text(payload['response_model'])
  const finish = texts(payload['finish_reasons'])
  const embeds = FAMILIES.llm.kind?.(view.facts) === 'EMBEDDING'
  into.set(GEN_AI.responseModel, model).set(GEN_AI.responseId, text(payload['response_id']))
  into.set(GEN_AI.finishReasons, finish)
  const first = number(payload['ttft_ms'])
  if (first !== undefined) into.set(GEN_AI.firstChunk, new Double(first / 1000))
  usageOf(into, members(payload['usage']) ?? {})
  into.set(OI.cost, measure(payload['cost_usd']))
  if (embeds) return
  into.set(OI.responseModel, model).set(OI.finishReason, finish?.[0])
  const said = outputMessages(resultOf(toldEnd))
  const calls = list(payload['tool_calls']).flatMap((item) => {
    const call = members(item)
    const id = text(call?.['id'])
    const name = text(call?.['name'])
    return call === undefined
      ? []
      : [{ ...(id !== undefined && { id }), ...(name !== undefined && { name }) }]
  })
  const [head = { role: 'assistant' }, ...rest] = said
  // Which tools were asked for is known of every call, its text or not.
  const messages =
    calls.length > 0 ? [{ ...head, toolCalls: calls }, ...rest] : said.length > 0 ? said : []
  setMessages(into, 'output', toldEnd, messages, structured)
}

/** Members of `usage`, and their names; the input includes what came out of a cache. */
const USAGE: readonly (readonly [string, ...string[]])[] = [
  ['input', OI.promptTokens, GEN_AI.inputTokens],
  ['output', OI.completionTokens, GEN_AI.outputTokens],
  ['cache_read', OI.cacheRead, GEN_AI.cacheRead],
  ['cache_write', OI.cacheWrite, GEN_AI.cacheWrite],
  ['reasoning', OI.reasoning, GEN_AI.reasoning],
  ['audio_in', OI.promptAudio],
  ['audio_out', OI.completionAudio],
]

function usageOf(into: Attributes, usage: Payload): void {
  for (const [member, ...names] of USAGE)
    for (const name of names) into.set(name, count(usage[member]))
  const input = count(usage['input'])
  const output = count(usage['output'])
  const sum = input === undefined || output === undefined ? undefined : input + output
  into.set(OI.totalTokens, count(usage['total']) ?? sum)
}

function toolOf(into: Attributes, view: View): void {
  const { facts, start, end, toldStart, toldEnd } = view
  callIo(into, view)
  const tool = members(facts['tool']) ?? {}
  const name = text(tool['name']) ?? text(facts['fn'])
  const callId = text(tool['call_id'])
  const description = text(tool['description'])
  into.set(OI.toolName, name).set(GEN_AI.toolName, name)
  into.set(OI.toolId, callId).set(GEN_AI.toolCallId, callId)
  into.set(OI.toolDescription, description).set(GEN_AI.toolDescription, description)
  into.set(GEN_AI.toolType, text(tool['type']))
  const input = callInput(toldStart.value('preview'))
  if (start !== undefined && input !== undefined && !isHidden('input', toldStart)) {
    const parameters = JSON.stringify(input)
    into.set(OI.toolParameters, parameters).set(GEN_AI.toolArguments, parameters)
  }
  const result = resultOf(toldEnd)
  if (end !== undefined && result !== undefined && !isHidden('output', toldEnd))
    into.set(GEN_AI.toolResult, asText(result))
  const mcp = members(facts['mcp'])
  if (mcp === undefined) return
  into.set(OTEL.mcpMethod, text(mcp['method']) ?? 'tools/call')
  into.set(OTEL.mcpSession, text(mcp['session_id']))
  into.set(OTEL.mcpProtocol, text(mcp['protocol_version']))
  const request = mcp['request_id']
  into.set(
    OTEL.rpcRequestId,
    text(request) ?? (count(request) === undefined ? undefined : String(request)),
  )
  into.set(OTEL.transport, transportOf(text(mcp['transport'])))
  into.set(ENVPOD.mcpServer, text(mcp['server']))
}

/** As the conventions name what lies below: standard input and output are a pipe. */
function transportOf(transport: string | undefined): string | undefined {
  if (transport === undefined) return undefined
  if (transport === 'stdio') return 'pipe'
  return /http|sse|websocket/i.test(transport) ? 'tcp' : transport
}

function memoryOf(into: Attributes, { facts, end }: View): void {
  into.set(GEN_AI.memoryStore, text(facts['store']))
  into.set(GEN_AI.memoryRecord, text(facts['record_id']))
  into.set(GEN_AI.memoryCount, count(end?.payload['count']))
}

function graphOf(into: Attributes, facts: Payload): void {
  const graph = members(facts['graph'])
  const node = text(graph?.['node'])
  into.set(OI.graphId, node).set(OI.graphName, node)
  into.set(OI.graphParent, text(graph?.['parent']))
}

function integer(value: unknown): number | undefined {
  const found = number(value)
  return Number.isSafeInteger(found) ? found : undefined
}

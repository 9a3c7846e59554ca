/** What the arguments of a call to a model tell without their content: which model, how, how much. */

import { classNameOf } from '../capture/intrinsics.ts'
import { contentLength } from '../capture/summarise.ts'
import {
  anyField,
  field,
  identifier,
  isList,
  isRecord,
  items,
  numberIn,
  present,
  presentOrNone,
  word,
} from './reading.ts'

/** Members of `agent.llm.request`; empty when nothing is recognised. Never throws. */
export function recogniseRequest(args: readonly unknown[]): Record<string, unknown> {
  try {
    return requestFacts(args)
  } catch {
    return {}
  }
}

function requestFacts(args: readonly unknown[]): Record<string, unknown> {
  const [first, second] = args
  // A list of messages, with the options behind it, as chat models of frameworks are called.
  if (isList(first)) {
    const messages = figures(items(first, MAX_MESSAGES).map(toMessage), first.length)
    return messages === undefined ? {} : present({ ...factsOf(second), messages })
  }
  return factsOf(first)
}

function factsOf(request: unknown): Record<string, unknown> {
  if (!isRecord(request)) return {}
  const model = modelOf(request)
  const messages = messagesOf(request)
  const params = paramsOf(request)
  const tools = toolNames(request)
  // Any object may have a temperature: without a model or messages it is no request.
  if (model.model === undefined && messages === undefined) return {}
  return present({
    operation: operationOf(request, model.model),
    ...model,
    params,
    messages,
    tools,
    response_format: formatOf(request),
  })
}

function operationOf(request: object, model: string | undefined): string | undefined {
  if (field(request, 'contents') !== undefined) return 'generate_content'
  if (model !== undefined && /embed/i.test(model)) return 'embeddings'
  if (isList(field(request, 'values')) || isList(field(request, 'texts'))) return 'embeddings'
  const isLegacy =
    typeof field(request, 'prompt') === 'string' &&
    field(request, 'messages') === undefined &&
    typeof field(request, 'model') === 'string'
  return isLegacy ? 'text_completion' : undefined
}

/** A name, or an object that has one and tells its provider. */
function modelOf(request: object): { model?: string; provider?: string } {
  const given = anyField(request, 'model', 'modelName', 'model_name')
  const model = identifier(isRecord(given) ? anyField(given, 'modelId', 'model') : given)
  const declared = isRecord(given) ? identifier(field(given, 'provider')) : undefined
  const provider = declared ?? (model === undefined ? undefined : providerOf(model))
  return { ...(provider !== undefined && { provider }), ...(model !== undefined && { model }) }
}

const PROVIDERS: readonly (readonly [RegExp, string])[] = [
  [/^claude/, 'anthropic'],
  [/^(?:gpt-|o\d|chatgpt-|text-embedding-|davinci|babbage)/, 'openai'],
  [/^(?:models\/)?(?:gemini|gemma|text-embedding-00)/, 'google'],
]

function providerOf(model: string): string | undefined {
  return PROVIDERS.find(([shape]) => shape.test(model))?.[1]
}

const PARAMETERS: readonly (readonly [string, readonly string[]])[] = [
  ['temperature', ['temperature']],
  [
    'max_tokens',
    ['max_tokens', 'max_completion_tokens', 'max_output_tokens', 'maxOutputTokens', 'maxTokens'],
  ],
  ['top_p', ['top_p', 'topP']],
  ['top_k', ['top_k', 'topK']],
  ['seed', ['seed']],
  ['n', ['n', 'candidateCount']],
  ['frequency_penalty', ['frequency_penalty', 'frequencyPenalty']],
  ['presence_penalty', ['presence_penalty', 'presencePenalty']],
  ['dimensions', ['dimensions', 'outputDimensionality']],
]

/** Numbers and switches only. Sequences that stop the model are texts, so they are counted. */
function paramsOf(request: object): Record<string, unknown> | undefined {
  // Google keeps its parameters one level down.
  const inner = anyField(request, 'config', 'generationConfig')
  const from = isRecord(inner) ? [request, inner] : [request]
  const params: Record<string, unknown> = {}
  for (const [name, spellings] of PARAMETERS) {
    for (const place of from) {
      const value = numberIn(anyField(place, ...spellings))
      if (value !== undefined) params[name] = value
    }
  }
  for (const place of from) {
    const stop = anyField(place, 'stop', 'stop_sequences', 'stopSequences')
    if (typeof stop === 'string') params['stop'] = 1
    else if (isList(stop)) params['stop'] = stop.length
  }
  const stream = field(request, 'stream')
  if (typeof stream === 'boolean') params['stream'] = stream
  return presentOrNone(params)
}

interface Message {
  readonly role: string
  readonly chars: number
}

const MAX_MESSAGES = 128

/** How many, whose, how long. @param count Of all of them; `told` are the first. */
function figures(
  told: readonly (Message | undefined)[],
  count: number,
): { count: number; roles: string[]; chars: number[] } | undefined {
  const messages = told.filter((message) => message !== undefined)
  if (messages.length === 0 || messages.length < told.length) return undefined
  return {
    count,
    roles: messages.map(({ role }) => role),
    chars: messages.map(({ chars }) => chars),
  }
}

function messagesOf(request: object) {
  const system = anyField(
    request,
    'system',
    'instructions',
    'systemInstruction',
    'system_instruction',
  )
  const list = anyField(request, 'messages', 'contents', 'input', 'prompt')
  const spoken =
    typeof list === 'string'
      ? [{ role: 'user', chars: list.length }]
      : isList(list)
        ? someMessages(list)
        : []
  if (spoken.length === 0) return undefined
  const above = system === undefined ? [] : [{ role: 'system', chars: lengthOf(system) }]
  return figures([...above, ...spoken], above.length + (isList(list) ? list.length : 1))
}

/** Texts, as embeddings take them, are messages without a speaker. */
function someMessages(list: readonly unknown[]): (Message | undefined)[] {
  return items(list, MAX_MESSAGES).map((item) =>
    typeof item === 'string' ? { role: 'user', chars: item.length } : toMessage(item),
  )
}

const ROLES: Readonly<Record<string, string | undefined>> = Object.assign(
  Object.create(null) as Record<string, string>,
  {
    system: 'system',
    developer: 'developer',
    user: 'user',
    human: 'user',
    assistant: 'assistant',
    ai: 'assistant',
    model: 'assistant',
    tool: 'tool',
    function: 'tool',
  },
)

function toMessage(item: unknown): Message | undefined {
  if (!isRecord(item)) return undefined
  const role = field(item, 'role') ?? field(item, 'type') ?? roleOfClass(item)
  if (typeof role !== 'string') return undefined
  const content = anyField(item, 'content', 'parts', 'output', 'arguments')
  return { role: ROLES[role] ?? roleOfItem(role), chars: lengthOf(content) }
}

/** Items of a conversation that are no messages: what the model called, and what came back. */
function roleOfItem(type: string): string {
  if (/_output$|^tool-result$/.test(type)) return 'tool'
  return /_call$|^reasoning$/.test(type) ? 'assistant' : 'other'
}

const CLASSES: readonly (readonly [RegExp, string])[] = [
  [/^SystemMessage/, 'system'],
  [/^HumanMessage/, 'user'],
  [/^AIMessage/, 'assistant'],
  [/^(?:Tool|Function)Message/, 'tool'],
]

/** Messages of LangChain tell their role by their class. */
function roleOfClass(message: object): string | undefined {
  const name = classNameOf(message)
  return CLASSES.find(([shape]) => shape.test(name))?.[1]
}

function lengthOf(content: unknown): number {
  if (isRecord(content)) return contentLength(field(content, 'parts')) || contentLength([content])
  return contentLength(content)
}

const MAX_TOOLS = 128

/** Names of the tools that the model may call. */
function toolNames(request: object): string[] | undefined {
  const tools = field(request, 'tools') ?? field(field(request, 'config'), 'tools')
  const names: string[] = []
  if (isList(tools)) {
    for (const tool of items(tools, MAX_TOOLS)) {
      const declared = anyField(tool, 'functionDeclarations', 'function_declarations')
      if (isList(declared))
        for (const one of items(declared, MAX_TOOLS)) push(names, field(one, 'name'))
      else push(names, anyField(field(tool, 'function'), 'name') ?? anyField(tool, 'name', 'type'))
    }
  } else if (isRecord(tools)) for (const name of Object.keys(tools)) push(names, name)
  return names.length === 0 ? undefined : names.slice(0, MAX_TOOLS)
}

function push(names: string[], value: unknown): void {
  const name = identifier(value)
  if (name !== undefined) names.push(name)
}

function formatOf(request: object): string | undefined {
  const format =
    anyField(request, 'response_format', 'responseFormat') ??
    field(field(request, 'text'), 'format') ??
    field(field(request, 'output_config'), 'format')
  if (format !== undefined) return word(isRecord(format) ? field(format, 'type') : format)
  const mime = anyField(
    anyField(request, 'config', 'generationConfig'),
    'responseMimeType',
    'response_mime_type',
  )
  return typeof mime === 'string' && /^[a-z]+\/[a-z.+-]{1,40}$/.test(mime) ? mime : undefined
}

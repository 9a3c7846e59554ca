/** The generations of the AI SDK's model specification: how each says what it is asked, answers and counts. Pure. */
import { type ChatMessage, messageFigures } from '../adapters/messages.ts'
import {
  type Fields,
  fields,
  figure,
  firstText,
  list,
  present,
  presentOrNone,
  text,
} from '../adapters/shapes.ts'
import { type Usage, usageOf } from '../adapters/usage.ts'

/** Of whom the model is; some providers count what their cache served apart from the rest. */
export interface ModelName {
  readonly provider: string
  readonly modelId: string
}

export interface Reply {
  readonly payload: Record<string, unknown>
  readonly usage: Usage | undefined
  readonly content: unknown
}

export interface Generation {
  maxTokens(params: Fields): number | undefined
  tools(params: Fields): readonly unknown[]
  finishReason(value: unknown): string | undefined
  usage(value: unknown, about: Fields | undefined, model: ModelName): Usage | undefined
  /** The parts of a finished answer, in the words that streams use as well. */
  content(result: Fields): readonly unknown[]
  /** What a part of a stream adds to the text, if anything. */
  delta(part: Fields): string | undefined
}

const v1: Generation = {
  maxTokens: (params) => figure(params['maxTokens']),
  tools: (params) => list(fields(params['mode'])?.['tools']),
  finishReason: text,
  usage(value, about, model) {
    const told = fields(value)
    const anthropic = fields(about?.['anthropic'])
    const read = figure(anthropic?.['cacheReadInputTokens'])
    const written = figure(anthropic?.['cacheCreationInputTokens'])
    const input = counted(told?.['promptTokens'])
    return usageOf({
      input: countsCacheApart(model) ? plus(input, read, written) : input,
      output: counted(told?.['completionTokens']),
      cache_read: read ?? figure(fields(about?.['openai'])?.['cachedPromptTokens']),
      cache_write: written,
      reasoning: figure(fields(about?.['openai'])?.['reasoningTokens']),
    })
  },
  content: (result) => [
    ...(text(result['text']) === undefined ? [] : [{ type: 'text', text: result['text'] }]),
    ...list(result['toolCalls']).map((call) => ({ ...fields(call), type: 'tool-call' })),
  ],
  delta: (part) => (isText(part) ? text(part['textDelta']) : undefined),
}

const v2: Generation = {
  ...v1,
  maxTokens: (params) => figure(params['maxOutputTokens']),
  tools: (params) => list(params['tools']),
  usage(value, about, model) {
    const told = fields(value)
    const read = figure(told?.['cachedInputTokens'])
    const written =
      figure(fields(about?.['anthropic'])?.['cacheCreationInputTokens']) ??
      figure(fields(fields(about?.['bedrock'])?.['usage'])?.['cacheWriteInputTokens'])
    const input = figure(told?.['inputTokens'])
    const apart = countsCacheApart(model)
    return usageOf({
      input: apart ? plus(input, read, written) : input,
      output: figure(told?.['outputTokens']),
      total: apart ? undefined : figure(told?.['totalTokens']),
      cache_read: read,
      cache_write: written,
      reasoning: figure(told?.['reasoningTokens']),
    })
  },
  content: (result) => list(result['content']),
  delta: (part) => (isText(part) ? text(part['delta']) : undefined),
}

const v3: Generation = {
  ...v2,
  finishReason: (value) => firstText(fields(value)?.['unified'], value),
  usage(value) {
    const told = fields(value)
    const input = fields(told?.['inputTokens'])
    const output = fields(told?.['outputTokens'])
    return usageOf({
      input: figure(input?.['total']),
      output: figure(output?.['total']),
      cache_read: figure(input?.['cacheRead']),
      cache_write: figure(input?.['cacheWrite']),
      reasoning: figure(output?.['reasoning']),
    })
  },
}

/** Newest last. A generation that is not here yet is read as the newest. */
const GENERATIONS: Record<string, Generation> = { v1, v2, v3, v4: v3 }

export function generationOf(version: unknown): Generation {
  return GENERATIONS[String(version)] ?? v3
}

/** Some models of the first generation count `NaN` when their provider said nothing. */
function counted(value: unknown): number | undefined {
  return figure(value)
}

/** Their older adapters left out of the input what a cache read or wrote. */
function countsCacheApart(model: ModelName): boolean {
  return /anthropic|bedrock/i.test(model.provider)
}

function plus(
  input: number | undefined,
  ...cached: readonly (number | undefined)[]
): number | undefined {
  if (input === undefined) return undefined
  return cached.reduce<number>((sum, each) => sum + (each ?? 0), input)
}

function isText(part: Fields): boolean {
  const type = part['type']
  return type === 'text-delta' || type === 'reasoning-delta' || type === 'reasoning'
}

export function request(
  generation: Generation,
  model: ModelName,
  params: unknown,
): { payload: Record<string, unknown>; messages: ChatMessage[] } {
  const asked = fields(params) ?? {}
  const messages = list(asked['prompt']).map((each) => {
    const message = fields(each)
    return { role: text(message?.['role']) ?? 'unknown', content: message?.['content'] }
  })
  const tools = generation.tools(asked).flatMap((tool) => {
    const name = text(fields(tool)?.['name'])
    return name === undefined ? [] : [name]
  })
  const payload = present({
    operation: 'chat',
    provider: providerOf(model),
    model: model.modelId,
    params: presentOrNone({
      temperature: figure(asked['temperature']),
      max_tokens: generation.maxTokens(asked),
      top_p: figure(asked['topP']),
      top_k: figure(asked['topK']),
      seed: figure(asked['seed']),
      stop: list(asked['stopSequences']).length > 0 ? asked['stopSequences'] : undefined,
    }),
    messages: messages.length > 0 ? messageFigures(messages) : undefined,
    tools: tools.length > 0 ? tools : undefined,
    response_format: text(fields(asked['responseFormat'])?.['type']),
  })
  return { payload, messages }
}

/** `openai.chat` is of `openai`. */
export function providerOf(model: ModelName): string | undefined {
  return text(model.provider.split('.')[0])
}

export function reply(generation: Generation, model: ModelName, value: unknown): Reply {
  const result = fields(value) ?? {}
  const response = fields(result['response'])
  const content = generation.content(result)
  return {
    payload: answered(
      response?.['modelId'],
      response?.['id'],
      generation.finishReason(result['finishReason']),
      content.flatMap(toolCall),
    ),
    usage: generation.usage(result['usage'], fields(result['providerMetadata']), model),
    content,
  }
}

export function answered(
  modelId: unknown,
  id: unknown,
  finishReason: string | undefined,
  toolCalls: readonly Record<string, unknown>[],
): Record<string, unknown> {
  return present({
    response_model: text(modelId),
    response_id: text(id),
    finish_reasons: finishReason === undefined ? undefined : [finishReason],
    tool_calls: toolCalls.length > 0 ? toolCalls : undefined,
  })
}

export function toolCall(part: unknown): Record<string, unknown>[] {
  const told = fields(part)
  if (told?.['type'] !== 'tool-call') return []
  return [present({ id: text(told['toolCallId']), name: text(told['toolName']) })]
}

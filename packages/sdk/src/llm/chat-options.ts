/** What a chat call can be told, the names and the checks, and the request that comes of it. */
import { ConfigurationError } from '../sage/errors.ts'
import { MODEL_CATEGORIES, type ModelCategory, ModelRef } from '../sage/model-ref.ts'
import { type ChatInput, wireMessages } from './messages.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import {
  type OpenAiTool,
  type ToolChoice,
  type ToolDefinition,
  wireToolChoice,
  wireTools,
} from './tools.ts'

/** Parameters of a call. What a model was made or bound with counts where a call says nothing. */
export interface ChatParameters {
  /** Default 0. Null sends none, for models that take none. */
  temperature?: number | null | undefined
  maxTokens?: number | undefined
  topP?: number | undefined
  seed?: number | undefined
  stop?: readonly string[] | undefined
  responseFormat?: JsonObject | undefined
  tools?: readonly (ToolDefinition | OpenAiTool)[] | undefined
  toolChoice?: ToolChoice | undefined
  parallelToolCalls?: boolean | undefined
  presencePenalty?: number | undefined
  frequencyPenalty?: number | undefined
  logitBias?: Readonly<Record<string, number>> | undefined
  reasoningEffort?: string | undefined
  /** Another model for this call. */
  model?: ModelRef | string | undefined
  /** Another category of work for this call; sent as `X-Sage-Category`. */
  category?: ModelCategory | undefined
  /** Milliseconds of silence on the connection. Default 120 000. */
  timeoutMs?: number | undefined
  /** Milliseconds for the whole call, attempts and pauses included. Default 300 000, streamed 600 000. */
  deadlineMs?: number | undefined
}

export interface ChatOptions extends ChatParameters {
  signal?: AbortSignal | undefined
}

/** Option → member on the wire, in the order in which members are sent. */
const SENT = {
  temperature: 'temperature',
  maxTokens: 'max_tokens',
  topP: 'top_p',
  seed: 'seed',
  stop: 'stop',
  responseFormat: 'response_format',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  logitBias: 'logit_bias',
  reasoningEffort: 'reasoning_effort',
  parallelToolCalls: 'parallel_tool_calls',
} as const

const NUMBERS = ['temperature', 'maxTokens', 'topP', 'seed', 'presencePenalty', 'frequencyPenalty']
const OTHERS = ['tools', 'toolChoice', 'model', 'category', 'timeoutMs', 'deadlineMs', 'signal']
const NAMES: ReadonlySet<string> = new Set([...Object.keys(SENT), ...OTHERS])

const DEFAULT_TEMPERATURE = 0

/**
 * @returns The options, later ones first; what is undefined in one counts as not said there.
 * @throws ConfigurationError that names an option nobody knows, or a value that cannot be meant.
 */
export function mergedOptions(...layers: readonly ChatOptions[]): ChatOptions {
  const merged: Record<string, unknown> = {}
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer)) {
      if (!NAMES.has(name)) throw new ConfigurationError(`Unknown chat option ${name}`)
      if (value !== undefined) merged[name] = value
    }
  }
  checkOptions(merged)
  return merged
}

function checkOptions(options: Readonly<Record<string, unknown>>): void {
  for (const name of [...NUMBERS, 'timeoutMs', 'deadlineMs']) {
    const value = options[name]
    if (value === undefined || (value === null && name === 'temperature')) continue
    const valid = typeof value === 'number' && Number.isFinite(value)
    if (!valid) throw new ConfigurationError(`${name} must be a number`)
    if (name.endsWith('Ms') && value <= 0) throw new ConfigurationError(`${name} must be positive`)
  }
  const { stop, category, responseFormat } = options
  const stops = Array.isArray(stop) && stop.every((text) => typeof text === 'string')
  if (stop !== undefined && !stops) throw new ConfigurationError('stop must be a list of texts')
  if (category !== undefined && !MODEL_CATEGORIES.some((known) => known === category)) {
    throw new ConfigurationError(`category must be one of ${MODEL_CATEGORIES.join(', ')}`)
  }
  if (responseFormat !== undefined && !isObject(responseFormat)) {
    throw new ConfigurationError('responseFormat must be an object')
  }
}

/** @throws ModelRefParseError */
export function modelOf(model: ModelRef | string): ModelRef {
  return typeof model === 'string' ? ModelRef.parse(model) : model
}

/**
 * The request as OpenAI's API has it.
 *
 * @throws ValidationError for messages, ConfigurationError for tools.
 */
export function wireRequest(model: ModelRef, input: ChatInput, options: ChatOptions): JsonObject {
  const values: JsonObject = { temperature: DEFAULT_TEMPERATURE, ...options }
  const body: JsonObject = {
    model: model.model,
    messages: wireMessages(input),
  }
  for (const [option, member] of Object.entries(SENT)) {
    const value = values[option]
    const empty = option === 'stop' && Array.isArray(value) && value.length === 0
    if (value !== undefined && value !== null && !empty) body[member] = value
  }
  const tools = wireTools(options.tools ?? [])
  if (options.toolChoice !== undefined) {
    body['tool_choice'] = wireToolChoice(options.toolChoice, tools)
  }
  if (tools.length > 0) body['tools'] = tools
  return body
}

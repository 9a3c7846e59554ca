/** A chat request as a call of Anthropic's Messages API. */
import type { ChatRequest, JsonObject, Tool } from '../chat-types.ts'
import { unsupported } from '../check.ts'
import { jsonInstruction } from '../json-instruction.ts'
import type { CallScope, Outgoing } from '../provider.ts'
import { systemOf, turnsOf } from './messages.ts'
import { refusesSampling } from './models.ts'
import { type Emulation, emulationOf } from './structured.ts'

export const MESSAGES_PATH = '/v1/messages'

/** @throws ProviderFault for what the API has no word for. */
export function anthropicChat(request: ChatRequest, scope: CallScope): Outgoing {
  if (request.reasoning_effort !== undefined) {
    throw unsupported('reasoning_effort', 'is not supported for Anthropic models')
  }
  const emulation = emulationOf(request)
  const system = systemWith(request, emulation)
  const stops = (request.stop ?? []).filter((stop) => stop.trim() !== '')
  const body: JsonObject = {
    model: request.model,
    max_tokens: request.max_tokens ?? request.max_completion_tokens ?? scope.defaultMaxTokens,
    ...(system !== '' && { system }),
    messages: turnsOf(request.messages),
    ...samplingOf(request),
    ...(stops.length > 0 && { stop_sequences: stops }),
    ...toolsOf(request, emulation),
    ...(request.stream === true && { stream: true }),
  }
  return { path: MESSAGES_PATH, body }
}

function systemWith(request: ChatRequest, emulation: Emulation): string {
  const system = systemOf(request.messages)
  if (emulation.method !== 'instruction') return system
  return [system, jsonInstruction(request.response_format)].filter(Boolean).join('\n\n')
}

/** Never both: newer models refuse the pair, and a temperature of 0 is a client's fixed habit. */
function samplingOf({ model, temperature, top_p }: ChatRequest): JsonObject {
  if (refusesSampling(model)) return {}
  if (top_p !== undefined && (temperature ?? 0) === 0) return { top_p }
  return temperature === undefined ? {} : { temperature: Math.min(temperature, 1) }
}

function toolsOf(request: ChatRequest, emulation: Emulation): JsonObject {
  if (emulation.method === 'tool') {
    const { name, schema: input_schema } = emulation
    const description = 'Gives the answer. Call it once, with the whole answer as its input.'
    const tool_choice = { type: 'tool', name, disable_parallel_tool_use: true }
    return { tools: [{ name, description, input_schema }], tool_choice }
  }
  if (request.tools === undefined) return {}
  const choice = choiceOf(request)
  return {
    tools: request.tools.map(toolOf),
    ...(choice !== undefined && { tool_choice: choice }),
  }
}

function toolOf({ function: { name, description, parameters } }: Tool): JsonObject {
  return {
    name,
    ...(description !== undefined && { description }),
    input_schema: { properties: {}, ...parameters, type: 'object' },
  }
}

function choiceOf({ tool_choice, parallel_tool_calls }: ChatRequest): JsonObject | undefined {
  if (tool_choice === 'none') return { type: 'none' }
  const alone = parallel_tool_calls === false ? { disable_parallel_tool_use: true } : {}
  if (typeof tool_choice === 'object') {
    return { type: 'tool', name: tool_choice.function.name, ...alone }
  }
  if (tool_choice === undefined && parallel_tool_calls !== false) return undefined
  return { type: tool_choice === 'required' ? 'any' : 'auto', ...alone }
}

/** A chat request as a call of Gemini's generateContent. */
import type { ChatRequest, JsonObject, Tool } from '../chat-types.ts'
import { invalid, unsupported } from '../check.ts'
import { jsonInstruction } from '../json-instruction.ts'
import type { CallScope, Outgoing } from '../provider.ts'
import { contentsOf, systemPartsOf } from './contents.ts'
import { reducedSchema } from './schema.ts'

const MOST_STOPS = 5
const MODES = { auto: 'AUTO', none: 'NONE', required: 'ANY' } as const

/** @throws ProviderFault for what the API has no word for. */
export function googleChat(request: ChatRequest, scope: CallScope): Outgoing {
  refuseUnknown(request)
  const instruction = byInstruction(request) ? jsonInstruction(request.response_format) : undefined
  const system = systemPartsOf(request.messages)
  if (instruction !== undefined) system.push({ text: instruction })
  const settings = generationConfig(request)
  const body: JsonObject = {
    contents: contentsOf(request.messages, scope),
    ...(system.length > 0 && { systemInstruction: { parts: system } }),
    ...(Object.keys(settings).length > 0 && { generationConfig: settings }),
    ...toolsOf(request),
  }
  const verb = request.stream === true ? 'streamGenerateContent?alt=sse' : 'generateContent'
  return { path: `${modelPath(request.model)}:${verb}`, body }
}

/** The name is one segment of the path, whatever it holds. */
export function modelPath(model: string): string {
  return `/v1beta/models/${encodeURIComponent(model)}`
}

/** JSON output and tools exclude each other in all but the newest models. */
export function byInstruction(request: ChatRequest): boolean {
  return request.tools !== undefined
}

function refuseUnknown(request: ChatRequest): void {
  const asked: Record<string, boolean> = {
    reasoning_effort: request.reasoning_effort !== undefined,
    logit_bias: Object.keys(request.logit_bias ?? {}).length > 0,
    logprobs: request.logprobs === true,
    top_logprobs: request.top_logprobs !== undefined,
    parallel_tool_calls: request.parallel_tool_calls === false && request.tools !== undefined,
  }
  for (const [name, given] of Object.entries(asked)) {
    if (given) throw unsupported(name, 'is not supported for Google models')
  }
}

function generationConfig(request: ChatRequest): JsonObject {
  const stops = (request.stop ?? []).filter((stop) => stop !== '')
  if (stops.length > MOST_STOPS) {
    throw invalid('stop', `has ${stops.length} entries, Google models take at most ${MOST_STOPS}`)
  }
  const settings = {
    temperature: request.temperature,
    topP: request.top_p,
    maxOutputTokens: request.max_tokens ?? request.max_completion_tokens,
    seed: request.seed,
    presencePenalty: request.presence_penalty,
    frequencyPenalty: request.frequency_penalty,
    stopSequences: stops.length > 0 ? stops : undefined,
  }
  const given = Object.entries(settings).filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(given), ...formOf(request) }
}

function formOf(request: ChatRequest): JsonObject {
  const format = request.response_format
  if (format === undefined || format.type === 'text' || byInstruction(request)) return {}
  const json = { responseMimeType: 'application/json' }
  if (format.type === 'json_object' || format.json_schema.schema === undefined) return json
  const place = 'response_format.json_schema.schema'
  return { ...json, responseSchema: reducedSchema(format.json_schema.schema, place) }
}

function toolsOf({ tools, tool_choice }: ChatRequest): JsonObject {
  if (tools === undefined) return {}
  const functionDeclarations = tools.map(declarationOf)
  if (tool_choice === undefined) return { tools: [{ functionDeclarations }] }
  const functionCallingConfig =
    typeof tool_choice === 'string'
      ? { mode: MODES[tool_choice] }
      : { mode: 'ANY', allowedFunctionNames: [tool_choice.function.name] }
  return { tools: [{ functionDeclarations }], toolConfig: { functionCallingConfig } }
}

function declarationOf({ function: declared }: Tool, at: number): JsonObject {
  const { name, description, parameters } = declared
  const reduced =
    parameters === undefined
      ? {}
      : reducedSchema({ type: 'object', ...parameters }, `tools[${at}].function.parameters`)
  // An object without properties is refused; a function without parameters is not.
  const has = reduced['properties'] !== undefined || reduced['anyOf'] !== undefined
  return {
    name,
    ...(description !== undefined && { description }),
    ...(has && { parameters: reduced }),
  }
}

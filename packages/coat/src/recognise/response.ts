/** What the answer of a model tells without its content: model, tokens, why it ended, which tools it calls. */
import { anyField, field, identifier, isList, isRecord, items, present, word } from './reading.ts'
import { recogniseUsage } from './usage.ts'

export interface ToolCall {
  readonly id?: string
  readonly name?: string
}

/** Members of `agent.llm.response`; empty when nothing is recognised. Never throws. */
export function recogniseResponse(result: unknown): Record<string, unknown> {
  try {
    return responseFacts(result, 0)
  } catch {
    return {}
  }
}

function responseFacts(result: unknown, depth: number): Record<string, unknown> {
  if (!isRecord(result)) return {}
  for (const read of [openaiChat, openaiResponse, anthropicMessage, google, vercel, langchain]) {
    const facts = read(result)
    if (facts !== undefined) return facts
  }
  if (isList(field(result, 'data')) || isList(field(result, 'embeddings')) || depth > 0)
    return embeddings(result)
  // The answer and how it came, as helpers of clients give both; or the answer within its own wrapping.
  const inner = anyField(result, 'data', 'response')
  return isRecord(inner) ? responseFacts(inner, depth + 1) : embeddings(result)
}

function openaiChat(result: object): Record<string, unknown> | undefined {
  const choices = field(result, 'choices')
  if (!isList(choices)) return undefined
  const all = items(choices, 32)
  const calls = all.flatMap((choice) => items(field(field(choice, 'message'), 'tool_calls')))
  return present({
    response_model: identifier(field(result, 'model')),
    response_id: identifier(field(result, 'id')),
    finish_reasons: reasons(all.map((choice) => field(choice, 'finish_reason'))),
    usage: recogniseUsage(field(result, 'usage')),
    tool_calls: toolCalls(
      calls.map((call) => [
        field(call, 'id'),
        anyField(field(call, 'function') ?? field(call, 'custom'), 'name'),
      ]),
    ),
  })
}

function openaiResponse(result: object): Record<string, unknown> | undefined {
  const output = field(result, 'output')
  if (!isList(output) || field(result, 'object') !== 'response') return undefined
  const calls = items(output).filter((item) => field(item, 'type') === 'function_call')
  const incomplete = field(field(result, 'incomplete_details'), 'reason')
  return present({
    response_model: identifier(field(result, 'model')),
    response_id: identifier(field(result, 'id')),
    finish_reasons: reasons([incomplete ?? field(result, 'status')]),
    usage: recogniseUsage(field(result, 'usage')),
    tool_calls: toolCalls(calls.map((call) => [field(call, 'call_id'), field(call, 'name')])),
  })
}

function anthropicMessage(result: object): Record<string, unknown> | undefined {
  const content = field(result, 'content')
  if (field(result, 'type') !== 'message' || !isList(content)) return undefined
  const calls = items(content).filter((block) => field(block, 'type') === 'tool_use')
  return present({
    response_model: identifier(field(result, 'model')),
    response_id: identifier(field(result, 'id')),
    finish_reasons: reasons([field(result, 'stop_reason')]),
    usage: recogniseUsage(field(result, 'usage')),
    tool_calls: toolCalls(calls.map((call) => [field(call, 'id'), field(call, 'name')])),
  })
}

function google(result: object): Record<string, unknown> | undefined {
  const candidates = field(result, 'candidates')
  if (!isList(candidates)) return undefined
  const all = items(candidates, 32)
  const parts = all.flatMap((candidate) => items(field(field(candidate, 'content'), 'parts')))
  const calls = parts.map((part) => field(part, 'functionCall')).filter(isRecord)
  return present({
    response_model: identifier(field(result, 'modelVersion')),
    response_id: identifier(field(result, 'responseId')),
    finish_reasons: reasons(all.map((candidate) => field(candidate, 'finishReason'))),
    usage: recogniseUsage(field(result, 'usageMetadata')),
    tool_calls: toolCalls(calls.map((call) => [field(call, 'id'), field(call, 'name')])),
  })
}

/** Of a provider, and of the functions above it, whose last step tells what all had. */
function vercel(result: object): Record<string, unknown> | undefined {
  const steps = field(result, 'steps')
  const last = isList(steps) ? items(steps, 1024).at(-1) : undefined
  const answer = isRecord(last) ? last : result
  const content = field(answer, 'content')
  const finish = field(answer, 'finishReason')
  if (!isList(content) || finish === undefined) return undefined
  const calls = items(content).filter((part) => field(part, 'type') === 'tool-call')
  const response = field(answer, 'response')
  const total = anyField(result, 'totalUsage') ?? (answer === result ? undefined : sumOf(steps))
  return present({
    response_model: identifier(anyField(response, 'modelId')),
    response_id: identifier(field(response, 'id')),
    finish_reasons: reasons([vercelReason(finish)]),
    usage: recogniseUsage(total ?? field(answer, 'usage')),
    tool_calls: toolCalls(
      calls.map((call) => [field(call, 'toolCallId'), field(call, 'toolName')]),
    ),
  })
}

export function vercelReason(finish: unknown): unknown {
  return isRecord(finish) ? field(finish, 'unified') : finish
}

/** Tokens of all steps, when nobody has added them up. */
function sumOf(steps: unknown): Record<string, number> | undefined {
  let inputTokens = 0
  let outputTokens = 0
  for (const step of items(steps, 1024)) {
    const usage = recogniseUsage(field(step, 'usage'))
    inputTokens += usage?.input ?? 0
    outputTokens += usage?.output ?? 0
  }
  return inputTokens + outputTokens === 0 ? undefined : { inputTokens, outputTokens }
}

/** A message of a chat model, or the result of a run of one that holds it. */
function langchain(result: object): Record<string, unknown> | undefined {
  const first = items(field(result, 'generations'), 1)[0]
  const generation = isList(first) ? items(first, 1)[0] : first
  const message = generation === undefined ? result : field(generation, 'message')
  const metadata = field(message, 'response_metadata')
  if (!isRecord(message) || !isRecord(metadata)) return undefined
  const usage =
    field(message, 'usage_metadata') ??
    anyField(metadata, 'usage', 'tokenUsage') ??
    field(field(result, 'llmOutput'), 'tokenUsage')
  return present({
    response_model: identifier(anyField(metadata, 'model_name', 'model')),
    response_id: identifier(field(message, 'id')),
    finish_reasons: reasons([anyField(metadata, 'finish_reason', 'stop_reason', 'finishReason')]),
    usage: recogniseUsage(usage),
    tool_calls: toolCalls(
      items(field(message, 'tool_calls')).map((call) => [field(call, 'id'), field(call, 'name')]),
    ),
  })
}

function embeddings(result: object): Record<string, unknown> {
  const isEmbedding =
    isList(field(result, 'embeddings')) ||
    isList(field(result, 'embedding')) ||
    items(field(result, 'data'), 1).some((item) => field(item, 'embedding') !== undefined)
  if (!isEmbedding) return {}
  return present({
    response_model: identifier(field(result, 'model')),
    usage: recogniseUsage(field(result, 'usage')),
  })
}

export function reasons(found: readonly unknown[]): string[] | undefined {
  const words = found.map(word).filter((one) => one !== undefined)
  return words.length === 0 ? undefined : words
}

export function toolCalls(found: readonly (readonly [unknown, unknown])[]): ToolCall[] | undefined {
  const calls = found
    .map(([id, name]) => present({ id: identifier(id), name: identifier(name) }) as ToolCall)
    .filter(({ id, name }) => id !== undefined || name !== undefined)
  return calls.length === 0 ? undefined : calls
}

/** What `openai` answers without a provider (wire contract §11.6): pure functions of the params but for the ids. */
import { characters, firstCharacters } from './params.ts'
import { isJsonObject } from './plain-json.ts'
import type { Json, JsonObject, RequestContext } from './tool.ts'

interface Message {
  role: string
  content: string
}

/** Of checked params. */
export function messagesOf({ messages }: JsonObject): Message[] {
  if (!Array.isArray(messages)) return []
  return messages.filter(isJsonObject).map(({ role, content }) => ({
    role: String(role),
    content: String(content),
  }))
}

export function mockChat(params: JsonObject, { random }: RequestContext): Json {
  const messages = messagesOf(params)
  const input = (messages.findLast(({ role }) => role === 'user') ?? messages.at(-1))?.content ?? ''
  const output = `SUMMARY: ${firstCharacters(input, 120)}`
  return {
    id: `chatcmpl-mock-${random}`,
    object: 'chat.completion',
    model: params['model'] ?? '',
    output,
    tokens_est: estimate(input),
    choices: [{ index: 0, message: { role: 'assistant', content: output }, finish_reason: 'stop' }],
    usage: usage(input, output),
  }
}

export function mockComplete(params: JsonObject, { random }: RequestContext): Json {
  const prompt = String(params['prompt'])
  const output = `COMPLETION: ${firstCharacters(prompt, 100)}...`
  return {
    id: `cmpl-mock-${random}`,
    object: 'text_completion',
    model: params['model'] ?? '',
    output,
    tokens_est: estimate(prompt),
    choices: [{ index: 0, text: output, finish_reason: 'stop' }],
    usage: usage(prompt, output),
  }
}

function usage(input: string, output: string): JsonObject {
  const prompt_tokens = estimate(input)
  const completion_tokens = estimate(output)
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
  }
}

function estimate(text: string): number {
  return Math.ceil(characters(text) / 3)
}

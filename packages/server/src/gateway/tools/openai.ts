/** `openai`: text from a language model (wire contract §11.4). Only the listed params are forwarded. */
import { type BuiltinOptions, baseUrlOf, builtinTool, MAX_RESPONSE_BYTES } from './builtin.ts'
import { messagesOf, mockChat, mockComplete } from './openai-mock.ts'
import { lazyParamCheck, type ParamCheck } from './param-schema.ts'
import { characters, pick, plainParams } from './params.ts'
import { isJsonObject } from './plain-json.ts'
import { providerJson } from './reply-json.ts'
import {
  InvalidToolParams,
  type Json,
  type JsonObject,
  type Tool,
  type ToolAction,
} from './tool.ts'

const TIMEOUT_MS = 60_000
const MAX_CONTENT = 100_000

const MODEL = { type: 'string', minLength: 1, maxLength: 200 }
const TEMPERATURE = { type: 'number', minimum: 0, maximum: 2, default: 0.7 }
const MAX_TOKENS = { type: 'integer', minimum: 1, maximum: 4_000 }

const CHAT = {
  type: 'object',
  properties: {
    messages: {
      type: 'array',
      minItems: 1,
      maxItems: 50,
      items: {
        type: 'object',
        properties: {
          role: { type: 'string', enum: ['system', 'user', 'assistant'] },
          content: { type: 'string', maxLength: MAX_CONTENT },
        },
        required: ['role', 'content'],
        additionalProperties: false,
      },
    },
    model: { ...MODEL, default: 'gpt-3.5-turbo' },
    temperature: TEMPERATURE,
    max_tokens: { ...MAX_TOKENS, default: 1_000 },
    top_p: { type: 'number' },
    frequency_penalty: { type: 'number' },
    presence_penalty: { type: 'number' },
  },
  required: ['messages'],
  additionalProperties: false,
} satisfies JsonObject

const COMPLETE = {
  type: 'object',
  properties: {
    prompt: { type: 'string', minLength: 1, maxLength: 4_000 },
    model: { ...MODEL, default: 'text-davinci-003' },
    max_tokens: { ...MAX_TOKENS, default: 100 },
    temperature: TEMPERATURE,
  },
  required: ['prompt'],
  additionalProperties: false,
} satisfies JsonObject

const CHAT_NAMES = {
  messages: [],
  model: [],
  temperature: [],
  max_tokens: [],
  top_p: [],
  frequency_penalty: [],
  presence_penalty: [],
}
const COMPLETE_NAMES = { prompt: ['input'], model: [], max_tokens: [], temperature: [] }
const checkChat = lazyParamCheck(CHAT)
const checkComplete = lazyParamCheck(COMPLETE)

export function openai(options: BuiltinOptions = {}): Tool {
  const baseUrl = baseUrlOf(options.baseUrl, 'https://api.openai.com/v1')
  const maxResponseBytes = options.maxResponseBytes ?? MAX_RESPONSE_BYTES
  const shared = (path: string) => ({
    permission: 'read' as const,
    repeatable: true,
    cacheMs: 0,
    timeoutMs: TIMEOUT_MS,
    costMicros: 0,
    request: (params: JsonObject) => ({
      url: `${baseUrl}${path}`,
      method: 'POST',
      headers: [
        ['Content-Type', 'application/json'],
        ['Accept', 'application/json'],
      ] as const,
      body: Buffer.from(JSON.stringify(params), 'utf8'),
      timeoutMs: TIMEOUT_MS,
      maxResponseBytes,
      followRedirects: false,
    }),
    result: providerJson,
    usage: tokenUsage,
  })
  const chat: ToolAction = {
    ...shared('/chat/completions'),
    name: 'chat',
    description: 'Answers a conversation',
    schema: CHAT,
    normalise: normaliseChat,
    facts: (params) => ({ lengths: { messages: contentLength(params) } }),
    mock: mockChat,
  }
  const complete: ToolAction = {
    ...shared('/completions'),
    name: 'complete',
    description: 'Continues a text',
    schema: COMPLETE,
    normalise: (params) => {
      const picked = pick(plainParams(params), COMPLETE_NAMES)
      return checked(checkComplete, picked.params, picked.spelling)
    },
    facts: ({ prompt }) => ({ lengths: { prompt: characters(String(prompt)) } }),
    mock: mockComplete,
  }
  return builtinTool({
    name: 'openai',
    description: 'Text from a language model',
    baseUrl,
    credential: {
      path: options.credentialPath ?? 'tools/openai',
      inject: { headerType: 'bearer' },
    },
    actions: [chat, complete],
  })
}

function normaliseChat(given: JsonObject): JsonObject {
  const plain = plainParams(given)
  const { params } = pick(plain, CHAT_NAMES)
  const alias = ['input', 'prompt'].find((name) => Object.hasOwn(plain, name))
  if (params['messages'] !== undefined) {
    params['messages'] = bareMessages(params['messages'])
  } else if (alias !== undefined) {
    const content = plain[alias]
    const own: string[] = []
    if (typeof content !== 'string') own.push(`${alias}: must be text`)
    else if (content === '') own.push(`${alias}: must not be empty`)
    else if (characters(content) > MAX_CONTENT)
      own.push(`${alias}: must have at most ${MAX_CONTENT} characters`)
    // A stand-in, so that the other params are still looked at.
    params['messages'] = [{ role: 'user', content: own.length === 0 ? (content ?? '') : '' }]
    return checked(checkChat, params, undefined, own)
  }
  return checked(checkChat, params)
}

/** Without members that are not forwarded, such as `name`. */
function bareMessages(messages: Json): Json {
  if (!Array.isArray(messages)) return messages
  return messages.map((message) =>
    isJsonObject(message) ? pick(message, { role: [], content: [] }).params : message,
  )
}

function checked(
  check: ParamCheck,
  params: JsonObject,
  spelling?: ReadonlyMap<string, string>,
  own: readonly string[] = [],
): JsonObject {
  const problems = [...own, ...check(params, spelling).problems]
  if (problems.length > 0) throw new InvalidToolParams(problems)
  return params
}

function contentLength(params: JsonObject): number {
  return messagesOf(params).reduce((sum, { content }) => sum + characters(content), 0)
}

/** The provider's own counts, as far as they are counts. */
function tokenUsage(result: Json): Record<string, number> | undefined {
  if (!isJsonObject(result) || !isJsonObject(result['usage'])) return undefined
  const counts = Object.entries(result['usage']).filter(
    (entry): entry is [string, number] =>
      /^[a-z_]{1,32}$/.test(entry[0]) && Number.isSafeInteger(entry[1]),
  )
  return counts.length === 0 ? undefined : Object.fromEntries(counts)
}

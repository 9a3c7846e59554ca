/** OpenAI as its callers meet it: what it refuses and in which words, and how it answers and streams. */
import {
  type Dialect,
  type Events,
  isJson,
  type Json,
  jsons,
  pieces,
  type Reply,
  type Scripted,
  type Seen,
  vectorOf,
} from './script.ts'

const MEMBERS = new Set([
  ...['model', 'messages', 'temperature', 'top_p', 'max_tokens', 'max_completion_tokens', 'stop'],
  ...['seed', 'n', 'response_format', 'tools', 'tool_choice', 'parallel_tool_calls', 'stream'],
  ...['stream_options', 'presence_penalty', 'frequency_penalty', 'logit_bias', 'logprobs'],
  ...['top_logprobs', 'user', 'metadata', 'store', 'reasoning_effort'],
])
const REASONING = /^(?:o1|o3|o4|gpt-5)/
const USAGE = { prompt: 11, completion: 7, cached: 0 }

export const fakeOpenAi: Dialect = {
  name: 'openai',
  basePath: '/v1',
  answer(seen, scripted, key) {
    if (seen.headers['authorization'] !== `Bearer ${key}`) {
      const shown = `Incorrect API key provided: ${String(seen.headers['authorization'])}.`
      return refusal(401, shown, 'invalid_api_key')
    }
    if (seen.path === '/v1/models') {
      return { status: 200, body: { object: 'list', data: [{ id: 'gpt-4o', object: 'model' }] } }
    }
    if (seen.path === '/v1/embeddings') return embeddings(seen, scripted)
    if (seen.path !== '/v1/chat/completions') return refusal(404, 'Invalid URL', null)
    return complaint(seen.body) ?? chat(seen, scripted)
  },
}

function complaint(body: Json): Reply | undefined {
  const model = String(body['model'])
  if (model.startsWith('missing')) {
    return refusal(404, `The model \`${model}\` does not exist`, 'model_not_found')
  }
  for (const name of Object.keys(body)) {
    if (!MEMBERS.has(name))
      return refusal(400, `Unrecognized request argument supplied: ${name}`, null)
  }
  if (REASONING.test(model)) {
    if (body['max_tokens'] !== undefined) {
      return refusal(400, "Unsupported parameter: 'max_tokens'", 'unsupported_parameter')
    }
    if ((body['temperature'] ?? 1) !== 1) {
      return refusal(400, "Unsupported value: 'temperature'", 'unsupported_value')
    }
    for (const name of ['top_p', 'presence_penalty', 'frequency_penalty', 'logprobs']) {
      if (body[name] !== undefined) {
        return refusal(400, `Unsupported parameter: '${name}'`, 'unsupported_parameter')
      }
    }
  }
  if (body['metadata'] !== undefined && body['store'] !== true) {
    return refusal(400, "The 'metadata' parameter is only allowed when 'store' is enabled.", null)
  }
  if (body['stream_options'] !== undefined && body['stream'] !== true) {
    return refusal(400, "The 'stream_options' parameter needs 'stream'.", null)
  }
  if (body['tool_choice'] !== undefined && body['tools'] === undefined) {
    return refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", null)
  }
  return historyComplaint(jsons(body['messages']))
}

function historyComplaint(messages: readonly Json[]): Reply | undefined {
  if (messages.length === 0) return refusal(400, "Invalid 'messages': empty array.", null)
  const open = new Set<unknown>()
  for (const message of messages) {
    if (message['role'] === 'tool') {
      if (!open.delete(message['tool_call_id'])) {
        return refusal(400, "messages with role 'tool' must follow a 'tool_calls' message", null)
      }
    } else if (open.size > 0) {
      return refusal(400, "'tool_calls' must be followed by tool messages", null)
    }
    for (const call of jsons(message['tool_calls'])) open.add(call['id'])
    for (const part of jsons(message['content'])) {
      if (!['text', 'image_url', 'file'].includes(String(part['type']))) {
        return refusal(400, `Invalid value: '${String(part['type'])}'.`, 'invalid_value')
      }
    }
  }
  return undefined
}

function chat({ body }: Seen, scripted: Scripted): Reply | Events {
  const head = {
    id: 'chatcmpl-fake',
    created: 1_795_160_003,
    model: `${String(body['model'])}-2024-11-20`,
  }
  const text = textOf(scripted)
  const calls = (scripted.tools ?? []).map((call, at) => ({
    id: `call_openai_${at}`,
    type: 'function',
    function: { name: call.name, arguments: JSON.stringify(call.arguments) },
  }))
  const finish = scripted.finish ?? (calls.length > 0 ? 'tool_calls' : 'stop')
  const usage = usageOf(scripted)
  if (body['stream'] === true) {
    const wantsUsage =
      isJson(body['stream_options']) && body['stream_options']['include_usage'] === true
    return streamed(head, text, calls, finish, wantsUsage ? usage : undefined)
  }
  const message = {
    role: 'assistant',
    // Real answers that call tools carry null.
    content: calls.length > 0 && scripted.text === undefined ? null : text,
    refusal: null,
    ...(calls.length > 0 && { tool_calls: calls }),
  }
  const choices = [{ index: 0, message, logprobs: null, finish_reason: finish }]
  return { status: 200, body: { ...head, object: 'chat.completion', choices, usage } }
}

function streamed(
  head: Json,
  text: string,
  calls: readonly { id: string; type: string; function: { name: string; arguments: string } }[],
  finish: string,
  usage: Json | undefined,
): Events {
  const chunk = (choices: Json[], rest: Json = {}) =>
    `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...rest })}\n\n`
  const silent: Json = usage === undefined ? {} : { usage: null }
  const event = (delta: Json, finish_reason: string | null = null) =>
    chunk([{ index: 0, delta, logprobs: null, finish_reason }], silent)
  const spoken = calls.length > 0 && text === DEFAULT_TEXT ? [] : pieces(text)
  return {
    events: [
      event({ role: 'assistant', content: '', refusal: null }),
      ...spoken.map((content) => event({ content })),
      ...calls.flatMap(({ id, type, function: { name, arguments: args } }, index) => [
        event({ tool_calls: [{ index, id, type, function: { name, arguments: '' } }] }),
        ...pieces(args).map((piece) =>
          event({ tool_calls: [{ index, function: { arguments: piece } }] }),
        ),
      ]),
      event({}, finish),
      ...(usage === undefined ? [] : [chunk([], { usage })]),
      'data: [DONE]\n\n',
    ],
    error: (type) =>
      `data: ${JSON.stringify({ error: { message: 'It broke', type, code: type } })}\n\n`,
  }
}

const DEFAULT_TEXT = 'Hello from OpenAI.'

function textOf({ text, json }: Scripted): string {
  return text ?? (json === undefined ? DEFAULT_TEXT : JSON.stringify(json))
}

function usageOf({ usage = USAGE }: Scripted): Json {
  return {
    prompt_tokens: usage.prompt,
    completion_tokens: usage.completion,
    total_tokens: usage.prompt + usage.completion,
    prompt_tokens_details: { cached_tokens: usage.cached ?? 0 },
  }
}

function embeddings({ body }: Seen, scripted: Scripted): Reply {
  const { input, model } = body
  const texts = Array.isArray(input) ? input.map(String) : [String(input)]
  if (texts.length === 0 || texts.length > 2048 || texts.includes('')) {
    return refusal(400, "'$.input' is invalid.", null)
  }
  const data = texts.map((text, index) => ({
    object: 'embedding',
    index,
    embedding: vectorOf(text),
  }))
  if (scripted.shuffled) data.reverse()
  if (scripted.short) data.pop()
  const tokens = scripted.usage?.prompt ?? texts.length
  const usage = { prompt_tokens: tokens, total_tokens: tokens }
  return { status: 200, body: { object: 'list', data, model, usage } }
}

function refusal(status: number, message: string, code: string | null): Reply {
  return {
    status,
    body: { error: { message, type: 'invalid_request_error', param: null, code } },
  }
}

/** Anthropic's Messages API as its callers meet it: what it refuses and in which words, and how it streams. */
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
} from './script.ts'

const MEMBERS = new Set([
  ...['model', 'messages', 'max_tokens', 'system', 'temperature', 'top_p', 'top_k', 'metadata'],
  ...['stop_sequences', 'stream', 'tools', 'tool_choice', 'thinking', 'output_config'],
])
const WITHOUT_SAMPLING = /^claude-(?:opus-4-[789]|opus-5|sonnet-5|fable)/
const ONE_SAMPLER = /^claude-(?:opus|sonnet|haiku)-4/
const USAGE = { prompt: 13, completion: 5, cached: 0 }
const DEFAULT_TEXT = 'Hello from Anthropic.'
const STOP_REASONS = { stop: 'end_turn', length: 'max_tokens', content_filter: 'refusal' }

export const fakeAnthropic: Dialect = {
  name: 'anthropic',
  basePath: '',
  answer(seen, scripted, key) {
    if (seen.headers['x-api-key'] !== key) {
      return refusal(401, 'authentication_error', 'invalid x-api-key')
    }
    if (seen.headers['anthropic-version'] === undefined) {
      return invalid('anthropic-version: header is required')
    }
    const counts = seen.path === '/v1/messages/count_tokens'
    if (!counts && seen.path !== '/v1/messages') return refusal(404, 'not_found_error', 'Not Found')
    const complaint = complaintOf(seen.body, counts)
    if (complaint !== undefined) return complaint
    if (counts)
      return { status: 200, body: { input_tokens: scripted.usage?.prompt ?? USAGE.prompt } }
    return message(seen, scripted)
  },
}

function complaintOf(body: Json, counts: boolean): Reply | undefined {
  const model = String(body['model'])
  if (model.startsWith('claude-missing')) return refusal(404, 'not_found_error', `model: ${model}`)
  for (const name of Object.keys(body)) {
    if (!MEMBERS.has(name)) return invalid(`${name}: Extra inputs are not permitted`)
  }
  if (!counts && !Number.isInteger(body['max_tokens'])) return invalid('max_tokens: Field required')
  const { temperature, top_p } = body
  if (typeof temperature === 'number' && temperature > 1) {
    return invalid('temperature: range: 0..1')
  }
  if (temperature !== undefined && WITHOUT_SAMPLING.test(model)) {
    return invalid('`temperature` is deprecated for this model.')
  }
  if (temperature !== undefined && top_p !== undefined && ONE_SAMPLER.test(model)) {
    return invalid('`temperature` and `top_p` cannot both be specified for this model.')
  }
  for (const stop of Array.isArray(body['stop_sequences']) ? body['stop_sequences'] : []) {
    if (String(stop).trim() === '') {
      return invalid('stop_sequences: each stop sequence must contain non-whitespace')
    }
  }
  for (const tool of jsons(body['tools'])) {
    const schema = tool['input_schema']
    if (!isJson(schema) || schema['type'] !== 'object') {
      return invalid('tools.0.custom.input_schema.type: Field required')
    }
  }
  return historyComplaint(jsons(body['messages']))
}

function historyComplaint(messages: readonly Json[]): Reply | undefined {
  if (messages.length === 0) return invalid('messages: at least one message is required')
  let role: unknown
  let open = new Set<unknown>()
  for (const message of messages) {
    if (message['role'] !== 'user' && message['role'] !== 'assistant') {
      return invalid('messages: Unexpected role. Allowed: user, assistant')
    }
    if (message['role'] === role) return invalid('messages: roles must alternate')
    role = message['role']
    const blocks = jsons(message['content'])
    if (blocks.length === 0 && typeof message['content'] !== 'string') {
      return invalid('messages: content must not be empty')
    }
    const used = new Set<unknown>()
    for (const block of blocks) {
      if (block['type'] === 'text' && String(block['text']).trim() === '') {
        return invalid('messages: text content blocks must contain non-whitespace text')
      }
      if (block['type'] === 'tool_result' && !open.delete(block['tool_use_id'])) {
        return invalid('messages: unexpected `tool_use_id` found in `tool_result` blocks')
      }
      if (block['type'] === 'tool_use') used.add(block['id'])
      else if (block['type'] !== 'tool_result' && open.size > 0) break
    }
    if (open.size > 0) {
      return invalid('messages: `tool_use` ids were found without `tool_result` blocks')
    }
    open = used
  }
  return undefined
}

interface Block {
  readonly start: Json
  readonly deltas: readonly Json[]
  readonly whole: Json
}

function message({ body }: Seen, scripted: Scripted): Reply | Events {
  const blocks = blocksOf(body, scripted)
  const calls = blocks.some(({ start }) => start['type'] === 'tool_use')
  const stop_reason = scripted.finish
    ? STOP_REASONS[scripted.finish]
    : calls
      ? 'tool_use'
      : 'end_turn'
  const { prompt, completion, cached = 0 } = scripted.usage ?? USAGE
  const counts = {
    input_tokens: prompt - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
  }
  const head = { id: 'msg_fake', type: 'message', role: 'assistant', model: body['model'] }
  if (body['stream'] === true) return streamed(head, blocks, stop_reason, counts, completion)
  const content = blocks.map(({ whole }) => whole)
  const usage = { ...counts, output_tokens: completion }
  return { status: 200, body: { ...head, content, stop_reason, stop_sequence: null, usage } }
}

function blocksOf(body: Json, scripted: Scripted): Block[] {
  const blocks: Block[] = []
  if (scripted.thinking !== undefined) blocks.push(thinking(scripted.thinking))
  const choice = isJson(body['tool_choice']) ? body['tool_choice'] : {}
  if (scripted.json !== undefined && choice['type'] === 'tool') {
    return [...blocks, toolUse('toolu_json', String(choice['name']), inputOf(body, scripted.json))]
  }
  const tools = scripted.tools ?? []
  const said = scripted.json === undefined ? scripted.text : JSON.stringify(scripted.json)
  if (said !== undefined || tools.length === 0) blocks.push(text(said ?? DEFAULT_TEXT))
  for (const [at, call] of tools.entries()) {
    blocks.push(toolUse(`toolu_${at}`, call.name, call.arguments))
  }
  return blocks
}

/** A tool's input is an object; a schema of one property is how a caller asks for anything else. */
function inputOf(body: Json, json: unknown): Json {
  if (isJson(json)) return json
  const schema = jsons(body['tools'])[0]?.['input_schema']
  const properties = isJson(schema) && isJson(schema['properties']) ? schema['properties'] : {}
  return { [Object.keys(properties)[0] ?? 'value']: json }
}

function text(said: string): Block {
  return {
    start: { type: 'text', text: '' },
    deltas: pieces(said).map((piece) => ({ type: 'text_delta', text: piece })),
    whole: { type: 'text', text: said },
  }
}

function thinking(thought: string): Block {
  const whole = { type: 'thinking', thinking: thought, signature: 'c2ln' }
  const deltas = [{ type: 'thinking_delta', thinking: thought }]
  return { start: { type: 'thinking', thinking: '', signature: '' }, deltas, whole }
}

function toolUse(id: string, name: string, input: Json): Block {
  const isEmpty = Object.keys(input).length === 0
  const deltas = isEmpty
    ? []
    : pieces(JSON.stringify(input)).map((partial_json) => ({
        type: 'input_json_delta',
        partial_json,
      }))
  return {
    start: { type: 'tool_use', id, name, input: {} },
    deltas,
    whole: { type: 'tool_use', id, name, input },
  }
}

function streamed(
  head: Json,
  blocks: readonly Block[],
  stop_reason: string,
  counts: Json,
  output_tokens: number,
): Events {
  const event = (type: string, rest: Json) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`
  const usage = { ...counts, output_tokens: 1 }
  const started = { ...head, content: [], stop_reason: null, stop_sequence: null, usage }
  return {
    events: [
      event('message_start', { message: started }),
      event('ping', {}),
      ...blocks.flatMap(({ start, deltas }, index) => [
        event('content_block_start', { index, content_block: start }),
        ...deltas.map((delta) => event('content_block_delta', { index, delta })),
        event('content_block_stop', { index }),
      ]),
      event('message_delta', {
        delta: { stop_reason, stop_sequence: null },
        usage: { output_tokens },
      }),
      event('message_stop', {}),
    ],
    error: (type) => event('error', { error: { type, message: 'Overloaded' } }),
  }
}

function invalid(message: string): Reply {
  return refusal(400, 'invalid_request_error', message)
}

function refusal(status: number, type: string, message: string): Reply {
  return { status, body: { type: 'error', error: { type, message }, request_id: 'req_fake' } }
}

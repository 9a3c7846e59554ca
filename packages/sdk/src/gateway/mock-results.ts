/**
 * What the tools answer in mock mode: wire contract §11.6. Apart from ids and times, pure functions of
 * the parameters.
 */
import { createHash } from 'node:crypto'
import { GatewayError } from './errors.ts'
import type { ToolParams } from './tool-params.ts'

export interface MockDeps {
  now: () => number
  /** A fresh random text. */
  random: () => string
}

type Mock = (params: ToolParams, deps: MockDeps) => Record<string, unknown>

const MOST_RESULTS = 10

/** @throws GatewayError `UNKNOWN_TOOL` or `INVALID_PARAMS`, as the gateway answers them. */
export function mockResult(
  tool: string,
  action: string,
  params: ToolParams,
  deps: MockDeps,
): Record<string, unknown> {
  const mock = MOCKS.get(`${tool}:${action}`)
  if (mock === undefined) {
    throw new GatewayError('Unknown tool or action', { statusCode: 400, errorCode: 'UNKNOWN_TOOL' })
  }
  return mock(params, deps)
}

const MOCKS: ReadonlyMap<string, Mock> = new Map<string, Mock>([
  ['serpapi:search', search],
  ['http_fetch:get', fetchPage],
  ['http_fetch:head', (params) => ({ ...responseTo(textParam(params, 'url')), bytes: 120 })],
  ['openai:chat', chat],
  ['openai:complete', complete],
  ['gmail_send:send', send],
  ['gmail_send:profile', profile],
])

function search(params: ToolParams, { now }: MockDeps): Record<string, unknown> {
  const query = textParam(params, 'q', 'query')
  const wanted = params['num'] ?? MOST_RESULTS
  if (typeof wanted !== 'number' || !Number.isInteger(wanted) || wanted < 1 || wanted > 100) {
    throw invalidParam('num', 'must be a whole number from 1 to 100')
  }
  const results = Array.from({ length: Math.min(wanted, MOST_RESULTS) }, (_, index) => ({
    title: `Result ${index + 1} for ${query}`,
    url: `https://example.com/${encodeURIComponent(query)}/${index + 1}`,
  }))
  return {
    source: 'serpapi-mock',
    query,
    results,
    organic_results: results.map(({ title, url }, index) => ({
      position: index + 1,
      title,
      link: url,
      snippet: 'mock',
    })),
    search_metadata: { status: 'Success' },
    ts: now(),
  }
}

function fetchPage(params: ToolParams): Record<string, unknown> {
  const url = textParam(params, 'url')
  const page = `<!doctype html><title>Mock page</title><h1>${escaped(url)}</h1>`
  return { ...responseTo(url), data: page, body: page, bytes: Buffer.byteLength(page) }
}

function responseTo(url: string): Record<string, unknown> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw invalidParam('url', 'must be an absolute http or https URL')
  }
  return { url, status: 200, statusText: 'OK', headers: { 'content-type': 'text/html' } }
}

function chat(params: ToolParams): Record<string, unknown> {
  const input =
    params['messages'] === undefined ? textParam(params, 'input', 'prompt') : asked(params)
  const output = `SUMMARY: ${input.slice(0, 120)}`
  const message = { role: 'assistant', content: output }
  return {
    ...completion(params, input, output, 'gpt-3.5-turbo'),
    object: 'chat.completion',
    choices: [{ index: 0, message, finish_reason: 'stop' }],
  }
}

function complete(params: ToolParams): Record<string, unknown> {
  const prompt = textParam(params, 'prompt', 'input')
  const output = `COMPLETION: ${prompt.slice(0, 100)}...`
  return {
    ...completion(params, prompt, output, 'text-davinci-003'),
    object: 'text_completion',
    choices: [{ index: 0, text: output, finish_reason: 'stop' }],
  }
}

function completion(params: ToolParams, input: string, output: string, model: string) {
  const [prompt_tokens, completion_tokens] = [tokens(input), tokens(output)]
  const total_tokens = prompt_tokens + completion_tokens
  return {
    id: `mock_${digest(input)}`,
    model: typeof params['model'] === 'string' ? params['model'] : model,
    output,
    tokens_est: tokens(input),
    usage: { prompt_tokens, completion_tokens, total_tokens },
  }
}

const tokens = (text: string): number => Math.ceil(text.length / 3)

/** The last message of the user. */
function asked(params: ToolParams): string {
  const messages: unknown[] = Array.isArray(params['messages']) ? params['messages'] : []
  const last: unknown = messages.filter((message) => roleOf(message) === 'user').at(-1)
  if (typeof last === 'object' && last !== null && 'content' in last) {
    if (typeof last.content === 'string') return last.content
  }
  throw invalidParam('messages', 'must hold a message of the user')
}

function roleOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'role' in message
    ? message.role
    : undefined
}

function send(params: ToolParams, { now, random }: MockDeps): Record<string, unknown> {
  const { to } = params
  const recipients = Array.isArray(to) ? to : [to]
  if (
    recipients.length === 0 ||
    !recipients.every((one) => typeof one === 'string' && one !== '')
  ) {
    throw invalidParam('to', 'must be an address, or a list of them')
  }
  const subject = textParam(params, 'subject')
  const body = textParam(params, 'body', 'text')
  const key = params['idempotency_key'] ?? params['idempotencyKey']
  // The same key is the same message, however often it is sent.
  const id = `mock_${digest(typeof key === 'string' ? key : random())}`
  return {
    success: true,
    id,
    message_id: id,
    messageId: id,
    threadId: id,
    to,
    subject,
    status: 'queued',
    subject_len: subject.length,
    body_len: body.length,
    timestamp: new Date(now()).toISOString(),
  }
}

function profile(): Record<string, unknown> {
  const email = 'mock@example.com'
  return { email, emailAddress: email, name: 'Mock User', status: 'active' }
}

function textParam(params: ToolParams, name: string, alias: string = name): string {
  const value = params[name] ?? params[alias]
  if (typeof value === 'string' && value !== '') return value
  throw invalidParam(name, 'must be a text')
}

function invalidParam(name: string, fault: string): GatewayError {
  return new GatewayError('Parameter validation failed', {
    statusCode: 400,
    errorCode: 'INVALID_PARAMS',
    details: [`${name}: ${fault}`],
  })
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

/** `http_fetch`: reads a page the caller names (wire contract §11.3). Where it may go is for policy and egress. */
import { VestryError } from '@vestry/contract/errors'
import { parseTarget } from '../../egress/url.ts'
import { builtinTool } from './builtin.ts'
import { fetchedHead, fetchedPage } from './fetch-result.ts'
import { lazyParamCheck } from './param-schema.ts'
import { characters, pick, plainParams } from './params.ts'
import { isJsonObject } from './plain-json.ts'
import {
  InvalidToolParams,
  type Json,
  type JsonObject,
  type RequestContext,
  type Tool,
  type ToolAction,
  type UpstreamRequest,
} from './tool.ts'

/** All others of the caller's headers stay behind: they could carry a session or a key of somebody. */
const FORWARDED = [
  'accept',
  'accept-language',
  'if-none-match',
  'if-modified-since',
  'range',
] as const
const USER_AGENT = '4Runr-Gateway/1.0'
const MAX_TIMEOUT_MS = 30_000
const MAX_URL = 16_384

const HEADER = { type: 'string', maxLength: 2_048, pattern: '^[\\t\\x20-\\x7e\\x80-\\xff]*$' }
const SCHEMA = {
  type: 'object',
  properties: {
    url: { type: 'string', minLength: 1, maxLength: MAX_URL },
    timeout: { type: 'integer', minimum: 1_000, maximum: MAX_TIMEOUT_MS, default: 10_000 },
    maxSize: { type: 'integer', minimum: 1, maximum: 5_242_880, default: 1_048_576 },
    headers: {
      type: 'object',
      properties: Object.fromEntries(FORWARDED.map((name) => [name, HEADER])),
      additionalProperties: false,
    },
  },
  required: ['url'],
  additionalProperties: false,
} satisfies JsonObject

const check = lazyParamCheck(SCHEMA)

/** Takes no options: it has neither a provider nor a credential. */
export function httpFetch(): Tool {
  return builtinTool({
    name: 'http_fetch',
    description: 'Reads a web page',
    opensTarget: true,
    actions: [
      action('get', 'Reads a page', fetchedPage, mockGet),
      action('head', 'Reads the headers of a page', fetchedHead, mockHead),
    ],
  })
}

function action(
  name: 'get' | 'head',
  description: string,
  result: ToolAction['result'],
  mock: ToolAction['mock'],
): ToolAction {
  return {
    name,
    description,
    permission: 'read',
    repeatable: true,
    cacheMs: 30_000,
    timeoutMs: MAX_TIMEOUT_MS,
    costMicros: 0,
    schema: SCHEMA,
    normalise,
    facts: ({ url }) => ({ url: String(url), lengths: { url: characters(String(url)) } }),
    request: (params) => request(name, params),
    result,
    mock,
  }
}

function request(name: 'get' | 'head', params: JsonObject): UpstreamRequest {
  const { url, timeout, maxSize, headers } = params
  const forwarded = isJsonObject(headers) ? Object.entries(headers) : []
  return {
    url: String(url),
    method: name.toUpperCase(),
    headers: [
      ['User-Agent', USER_AGENT],
      ...forwarded.map(([header, value]) => [header, String(value)] as const),
    ],
    timeoutMs: Number(timeout),
    maxResponseBytes: Number(maxSize),
    followRedirects: true,
  }
}

function normalise(given: JsonObject): JsonObject {
  const { params, spelling } = pick(plainParams(given), {
    url: [],
    timeout: ['timeoutMs'],
    maxSize: [],
    headers: [],
  })
  const problems: string[] = []
  if (isJsonObject(params['headers'])) {
    params['headers'] = forwardedHeaders(params['headers'], problems)
  }
  problems.push(...check(params, spelling).problems)
  if (typeof params['url'] === 'string' && params['url'] !== '') {
    const problem = urlProblem(params['url'])
    if (problem !== undefined) problems.push(`url: ${problem}`)
  }
  if (problems.length > 0) throw new InvalidToolParams(problems)
  return params
}

function forwardedHeaders(given: JsonObject, problems: string[]): JsonObject {
  const forwarded: JsonObject = {}
  for (const [name, value] of Object.entries(given)) {
    const header = FORWARDED.find((candidate) => candidate === name.toLowerCase())
    if (header === undefined) {
      if (typeof value !== 'string') problems.push('headers: must hold text only')
      continue
    }
    // Two spellings of one header: which of them counts would be chance.
    if (Object.hasOwn(forwarded, header)) problems.push(`headers.${header}: is given twice`)
    forwarded[header] = value
  }
  return forwarded
}

/** Whether it is a URL at all. Where it leads is judged later, also after each redirect. */
function urlProblem(url: string): string | undefined {
  if (url.length > MAX_URL) return undefined // said by the schema
  try {
    parseTarget(url)
    return undefined
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    if (error.code === 'SSRF_BLOCKED') return undefined
    return 'must be an absolute http or https URL without user info'
  }
}

function mockGet(params: JsonObject): Json {
  const url = String(params['url'])
  const heading = escaped(url)
  const page = `<!doctype html><html><head><title>${heading}</title></head><body><h1>${heading}</h1><p>Mock page.</p></body></html>`
  return {
    ...mockReply(url),
    data: page,
    body: page,
    bytes: Buffer.byteLength(page),
  }
}

function mockHead(params: JsonObject, _context: RequestContext): Json {
  return { ...mockReply(String(params['url'])), bytes: 120 }
}

function mockReply(url: string): JsonObject {
  return { url, status: 200, statusText: 'OK', headers: { 'content-type': 'text/html' } }
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** `serpapi`: web search (wire contract §11.2). */
import { type BuiltinOptions, baseUrlOf, builtinTool, MAX_RESPONSE_BYTES } from './builtin.ts'
import { lazyParamCheck } from './param-schema.ts'
import { characters, pick, plainParams } from './params.ts'
import { providerJson } from './reply-json.ts'
import {
  InvalidToolParams,
  type Json,
  type JsonObject,
  type RequestContext,
  type Tool,
  type ToolAction,
} from './tool.ts'

export interface SerpapiOptions extends BuiltinOptions {
  timeoutMs?: number
}

/** Would change who pays, or what comes back as what. */
const WITHHELD = new Set(['api_key', 'no_cache', 'async', 'output'])

/** Letters, digits and `_` only: `api_key[]` or `output ` might be read as the withheld names. */
const EXTRA_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
const MAX_EXTRAS = 50

const SCHEMA = {
  type: 'object',
  properties: {
    q: { type: 'string', minLength: 1, maxLength: 500 },
    engine: { type: 'string', pattern: '^[a-z_]{1,40}$', default: 'google' },
    location: { type: 'string', maxLength: 500 },
    num: { type: 'integer', minimum: 1, maximum: 100, default: 10 },
    start: { type: 'integer', minimum: 0, default: 0 },
    safe: { type: 'string', enum: ['active', 'off'] },
  },
  required: ['q'],
  maxProperties: MAX_EXTRAS + 6,
  additionalProperties: { type: ['string', 'number', 'boolean'], maxLength: 2_000 },
} satisfies JsonObject

const NAMES = { q: ['query'], engine: [], location: [], num: [], start: [], safe: [] }
const check = lazyParamCheck(SCHEMA)

export function serpapi(options: SerpapiOptions = {}): Tool {
  const baseUrl = baseUrlOf(options.baseUrl, 'https://serpapi.com')
  return builtinTool({
    name: 'serpapi',
    description: 'Web search through SerpApi',
    baseUrl,
    credential: {
      path: options.credentialPath ?? 'tools/serpapi',
      inject: { query: 'api_key' },
    },
    actions: [search(baseUrl, options)],
  })
}

function search(baseUrl: string, options: SerpapiOptions): ToolAction {
  const timeoutMs = options.timeoutMs ?? 30_000
  return {
    name: 'search',
    description: 'Searches the web',
    permission: 'read',
    repeatable: true,
    cacheMs: 60_000,
    timeoutMs,
    costMicros: 0,
    schema: SCHEMA,
    normalise,
    facts: ({ q }) => ({ lengths: { q: characters(String(q)) } }),
    request: (params) => ({
      url: `${baseUrl}/search?${queryOf(params)}`,
      method: 'GET',
      headers: [['Accept', 'application/json']],
      timeoutMs,
      maxResponseBytes: options.maxResponseBytes ?? MAX_RESPONSE_BYTES,
      followRedirects: false,
    }),
    result: providerJson,
    mock,
  }
}

function normalise(given: JsonObject): JsonObject {
  const plain = plainParams(given)
  const { params, spelling } = pick(plain, NAMES)
  const known = new Set([...Object.keys(NAMES), ...Object.values(NAMES).flat()])
  for (const [name, value] of Object.entries(plain)) {
    if (known.has(name) || WITHHELD.has(name.toLowerCase()) || !EXTRA_NAME.test(name)) continue
    if (value !== null && typeof value !== 'object') params[name] = value
  }
  const { problems } = check(params, spelling)
  if (problems.length > 0) throw new InvalidToolParams(problems)
  return params
}

function queryOf(params: JsonObject): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) query.append(name, String(value))
  return query.toString()
}

function mock({ q, num }: JsonObject, { nowMs }: RequestContext): Json {
  const query = String(q)
  const numbers = Array.from({ length: Math.min(Number(num), 10) }, (_, at) => at + 1)
  const results = numbers.map((i) => ({
    title: `Result ${i} for ${query}`,
    url: `https://example.com/${encodeURIComponent(query)}/${i}`,
  }))
  return {
    source: 'serpapi-mock',
    query,
    results,
    organic_results: results.map(({ title, url }, at) => ({
      position: at + 1,
      title,
      link: url,
      snippet: 'mock',
    })),
    search_metadata: { status: 'Success' },
    ts: nowMs,
  }
}

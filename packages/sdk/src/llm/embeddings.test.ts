import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  ConfigurationError,
  GatewayError,
  RateLimitError,
  ValidationError,
} from '../sage/errors.ts'
import { FakeClock } from '../testing/clock.ts'
import type { GatewayReply } from '../testing/fake-gateway.ts'
import { type FakeStack, startFakeStack } from '../testing/fake-stack.ts'
import { MockEmbeddings } from '../testing/mock-embeddings.ts'
import { GatewayEmbeddings, type GatewayEmbeddingsOptions } from './embeddings.ts'
import { UsageLedger } from './usage-ledger.ts'

let stack: FakeStack
beforeEach(async () => {
  stack = await startFakeStack()
})
afterEach(() => stack.close())

function embeddings(options: Partial<GatewayEmbeddingsOptions> = {}, ...replies: GatewayReply[]) {
  stack.gateway.replies.push(...replies)
  return new GatewayEmbeddings({ client: stack.client({ clock: new FakeClock() }), ...options })
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, at) => `text ${at}`)
const entry = (index: unknown, embedding: unknown = [0.5, 1]) => ({ index, embedding })

test('one request with a list, the category and the default model', async () => {
  const vectors = await embeddings({ dimensions: 8 }).embedDocuments(['alpha', 'beta'])
  expect(vectors).toEqual(await new MockEmbeddings().embedDocuments(['alpha', 'beta']))
  const [request] = stack.gateway.requests
  expect(request?.path).toBe('/v1/embeddings')
  expect(request?.body).toEqual({
    model: 'text-embedding-3-small',
    input: ['alpha', 'beta'],
    dimensions: 8,
  })
  expect(request?.headers).toMatchObject({
    'x-provider': 'openai',
    'x-sage-category': 'embeddings',
  })
})

test('sage §21.29: a single query, also as a list; no texts, no request', async () => {
  const [[vector] = [], query] = await Promise.all([
    embeddings().embedDocuments(['alpha']),
    embeddings().embedQuery('alpha'),
  ])
  expect(query).toEqual(vector)
  expect(stack.gateway.requests.map(({ body }) => body['input'])).toEqual([['alpha'], ['alpha']])
  expect(await embeddings().embedDocuments([])).toEqual([])
  expect(stack.gateway.requests).toHaveLength(2)
})

test('sage §21.29: vectors are put in order by their index', async () => {
  const body = { data: [entry(2, [2]), entry(0, [0]), entry(1, [1])] }
  expect(await embeddings({}, { body }).embedDocuments(texts(3))).toEqual([[0], [1], [2]])
})

test.each([
  [150, 1],
  [256, 1],
  [257, 2],
  [5_000, 20],
])('sage §21.29: %i texts go out in %i requests, in order', async (count, requests) => {
  const ledger = new UsageLedger()
  const vectors = await embeddings({ ledger }).embedDocuments(texts(count))
  expect(vectors).toEqual(await new MockEmbeddings().embedDocuments(texts(count)))
  expect(stack.gateway.requests).toHaveLength(requests)
  expect(ledger.entries()).toEqual([
    {
      model: 'openai:text-embedding-3-small',
      promptTokens: count,
      completionTokens: 0,
      totalTokens: count,
      calls: requests,
    },
  ])
})

test('texts that are no list of texts are refused', async () => {
  for (const texts of ['abc', undefined, ['a', 1]]) {
    await expect(embeddings().embedDocuments(texts as never)).rejects.toThrow(ValidationError)
  }
})

test.each([
  ['too few', { data: [entry(0)] }],
  ['too many', { data: [entry(0), entry(1), entry(2)] }],
  ['the same twice', { data: [entry(0), entry(0)] }],
  ['an index out of range', { data: [entry(0), entry(2)] }],
  ['a negative index', { data: [entry(0), entry(-1)] }],
  ['no index', { data: [entry(0), entry(undefined)] }],
  ['different lengths', { data: [entry(0), entry(1, [1])] }],
  ['base64 instead of numbers', { data: [entry(0), entry(1, 'AACAPw==')] }],
  ['an empty vector', { data: [entry(0, []), entry(1, [])] }],
  ['null in a vector', { data: [entry(0), entry(1, [1, null])] }],
  ['no list', { data: null }],
  ['no JSON', 'nonsense'],
])('sage §21.29: %s is a GatewayError', async (_what, body) => {
  const error = await embeddings({}, { body })
    .embedDocuments(['a', 'b'])
    .catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({ exitCode: 30 })
})

test('lengths that differ between batches are a GatewayError', async () => {
  const replies = [{ body: { data: [entry(0, [1, 2])] } }, { body: { data: [entry(0, [1])] } }]
  const asking = embeddings({ batchSize: 1 }, ...replies).embedDocuments(['a', 'b'])
  await expect(asking).rejects.toThrow('different lengths')
})

test('429 after all attempts is a RateLimitError', async () => {
  const busy = { error: { status: 429, code: 'rate_limited' } }
  const asking = embeddings({}, busy, busy, busy, busy).embedQuery('a')
  await expect(asking).rejects.toThrow(RateLimitError)
})

test.each([0, 2_049, 1.5])('a batch size of %d is refused', (batchSize) => {
  expect(() => embeddings({ batchSize })).toThrow(ConfigurationError)
})

test('what is no text is refused before anything is sent', async () => {
  await expect(embeddings().embedDocuments(['a', 1 as never])).rejects.toThrow(ValidationError)
  expect(stack.gateway.requests).toEqual([])
})

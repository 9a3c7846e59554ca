import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { chooseEmbedder } from './choose.ts'
import { type EmbeddingsBody, type ProviderEmbedderDeps, providerEmbedder } from './provider.ts'

const signal = new AbortController().signal
const MODEL = 'local:nomic-embed-text'

/** A provider that answers with vectors of the texts' lengths. */
function answerTo({ input }: EmbeddingsBody, dimension = 4) {
  const data = input.map((text, index) => ({
    index,
    embedding: Array.from({ length: dimension }, (_, at) => (at === 0 ? text.length : 1)),
  }))
  return { object: 'list', data: data.reverse() }
}

function embedder(call: ProviderEmbedderDeps['call'], more: Partial<ProviderEmbedderDeps> = {}) {
  return providerEmbedder({ model: MODEL, dimension: 4, waitsMs: [1, 1], call, ...more })
}

const coded = (code: string) => expect.objectContaining({ code })

describe('runtime §10.4: embeddings of a provider', () => {
  test('come in order, of length 1, in batches of what one call takes', async () => {
    const sizes: number[] = []
    const { embed, id, name } = embedder(async (body) => {
      sizes.push(body.input.length)
      return answerTo(body)
    })
    const vectors = await embed(
      Array.from({ length: 150 }, (_, at) => 'x'.repeat(at + 1)),
      signal,
    )
    expect(sizes).toEqual([64, 64, 22])
    expect(vectors).toHaveLength(150)
    for (const [at, vector] of vectors.entries()) {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
      expect((vector[0] ?? 0) / (vector[1] ?? 1)).toBeCloseTo(at + 1, 2)
    }
    expect([id, name]).toEqual(['local:nomic-embed-text@1:4', MODEL])
  })

  test('are asked for again when the provider is busy, and given up with a name', async () => {
    let calls = 0
    const busy = async () => {
      calls++
      throw new VestryError('PROVIDER_OVERLOADED')
    }
    await expect(embedder(busy).embed(['a'], signal)).rejects.toThrow(coded('EMBEDDER_UNAVAILABLE'))
    expect(calls).toBe(3)
    const once = async (body: EmbeddingsBody) => {
      if (calls++ === 3) throw new VestryError('PROVIDER_TIMEOUT')
      return answerTo(body)
    }
    expect(await embedder(once).embed(['a'], signal)).toHaveLength(1)
  })

  test.each([
    'ACCESS_DENIED',
    'MODEL_NOT_ALLOWED',
    'BUDGET_EXHAUSTED',
    'PROVIDER_KEY_MISSING',
    'DLP_BLOCKED',
  ] as const)('%s is final, and is told as it is', async (code) => {
    let calls = 0
    const { embed } = embedder(async () => {
      calls++
      throw new VestryError(code)
    })
    await expect(embed(['a'], signal)).rejects.toThrow(coded(code))
    expect(calls).toBe(1)
  })

  test.each<[string, unknown, string]>([
    [
      'vectors of another length',
      answerTo({ model: MODEL, input: ['a'] }, 5),
      'DIMENSION_MISMATCH',
    ],
    ['too few vectors', { data: [] }, 'EMBEDDER_UNAVAILABLE'],
    [
      'one vector twice',
      { data: [0, 0].map((index) => ({ index, embedding: [1, 0, 0, 0] })) },
      'EMBEDDER_UNAVAILABLE',
    ],
    [
      'a vector of noughts',
      { data: [{ index: 0, embedding: [0, 0, 0, 0] }] },
      'EMBEDDER_UNAVAILABLE',
    ],
    ['something else', { data: [{ index: 0, embedding: ['x'] }] }, 'EMBEDDER_UNAVAILABLE'],
    ['nothing', undefined, 'EMBEDDER_UNAVAILABLE'],
  ])('%s are refused', async (_name, answer, code) => {
    await expect(embedder(async () => answer).embed(['a'], signal)).rejects.toThrow(coded(code))
  })

  test('whoever leaves waits no longer', async () => {
    const left = new AbortController()
    const busy = async () => {
      left.abort(new Error('gone'))
      throw new VestryError('PROVIDER_OVERLOADED')
    }
    await expect(embedder(busy, { waitsMs: [600_000] }).embed(['a'], left.signal)).rejects.toThrow(
      'gone',
    )
  })

  test('a shorter vector is asked for only of models that shorten', async () => {
    const asked: EmbeddingsBody[] = []
    const call = async (body: EmbeddingsBody) => {
      asked.push(body)
      return answerTo(body, 8)
    }
    const of = (model: string) =>
      providerEmbedder({ model, dimension: 8, call }).embed(['', 'b'], signal)
    await of('openai:text-embedding-3-small')
    await of('local:other')
    expect(asked).toEqual([
      { model: 'openai:text-embedding-3-small', input: ['.', 'b'], dimensions: 8 },
      { model: 'local:other', input: ['.', 'b'] },
    ])
  })

  test('a model that nobody knows needs its dimension', () => {
    const call = async () => undefined
    expect(
      providerEmbedder({ model: 'openai:text-embedding-3-small', dimension: undefined, call })
        .dimension,
    ).toBe(1_536)
    expect(() => providerEmbedder({ model: 'local:new', dimension: undefined, call })).toThrow(
      coded('EMBEDDER_UNAVAILABLE'),
    )
  })
})

test('runtime §10.4: without the packages of the offline model the built-in embedder takes its place, and says so', () => {
  const said: string[] = []
  const settings = { knowledge_embedder: 'offline', knowledge_model: MODEL } as const
  const deps = { call: undefined, warn: (line: string) => said.push(line) }
  expect(chooseEmbedder(settings, { ...deps, installed: () => false }).name).toBe('hashing-en')
  expect(said).toEqual([expect.stringContaining('not installed')])
  expect(chooseEmbedder(settings, { ...deps, installed: () => true }).name).toBe('offline-en')
  expect(chooseEmbedder({ ...settings, knowledge_embedder: 'hashing' }, deps).name).toBe(
    'hashing-en',
  )
  expect(() => chooseEmbedder({ ...settings, knowledge_embedder: 'provider' }, deps)).toThrow(
    coded('EMBEDDER_UNAVAILABLE'),
  )
})

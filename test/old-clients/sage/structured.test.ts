import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { vectorOf } from '../../harness/fake-providers.ts'
import { noPython } from '../client-process.ts'
import { PROVIDERS, result, type SageWorld, says, startSageWorld } from './sage-world.ts'

const SCHEMA = {
  title: 'Verdict',
  type: 'object',
  properties: {
    title: { type: 'string', title: 'Title' },
    lines: { type: 'array', items: { type: 'integer' } },
  },
  required: ['title', 'lines'],
}
const VERDICT = { title: 'unsafe', lines: [3, 5] }

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  let env: Record<string, string>
  beforeAll(async () => {
    world = await startSageWorld()
    env = await world.run()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  describe.each(PROVIDERS)('with $provider', ({ provider, model }) => {
    const ask = (more = {}) =>
      world.ask(env, 'structured', {
        model: `${provider}:${model}`,
        name: 'Verdict',
        schema: SCHEMA,
        messages: says('Answer as JSON.'),
        ...more,
      })

    test('sage §21.27: an answer of the schema', async () => {
      world.providers[provider].script({ json: VERDICT })
      expect(result(await ask())).toEqual(VERDICT)
    })

    test('sage §21.27: the raw answer beside it', async () => {
      world.providers[provider].script({ json: VERDICT })
      const { raw, parsed, parsing_error } = result(await ask({ include_raw: true }))
      expect(parsed).toEqual(VERDICT)
      expect(JSON.parse(raw.content)).toEqual(VERDICT)
      expect(parsing_error).toBeNull()
    })

    test('sage §21.27: an answer that is no JSON is told in raw mode, and raised otherwise', async () => {
      world.providers[provider].script({ text: 'I would rather not.' })
      const { parsed, parsing_error } = result(await ask({ include_raw: true }))
      expect([parsed, typeof parsing_error]).toEqual([null, 'string'])
      world.providers[provider].script({ text: 'I would rather not.' })
      expect((await ask()).raised?.classified).toBe(false)
    })
  })

  describe('embeddings', () => {
    const fake = () => world.providers.openai
    const embed = (texts: readonly string[]) => world.ask(env, 'embed_documents', { texts })
    const texts = (count: number): string[] => Array.from({ length: count }, (_, n) => `text ${n}`)

    function expectVectors(found: number[][], wanted: readonly string[]): void {
      expect(found).toHaveLength(wanted.length)
      for (const [index, text] of wanted.entries()) {
        const vector = vectorOf(text)
        expect(found[index]).toHaveLength(vector.length)
        found[index]?.forEach((value, at) => {
          expect(value).toBeCloseTo(vector[at] ?? Number.NaN, 6)
        })
      }
    }

    test('sage §21.29: the order is that of the texts, however the provider shuffles', async () => {
      fake().script({ shuffled: true })
      expectVectors(result(await embed(texts(20))), texts(20))
    })

    test('sage §21.29: one query, which this client takes as it stands', async () => {
      expectVectors([result(await world.ask(env, 'embed_query', { text: 'alpha' }))], ['alpha'])
    })

    test('sage §21.29: an empty list asks nobody', async () => {
      const before = fake().requests.length
      const { ok, attempts } = await embed([])
      expect([ok, attempts, fake().requests.length]).toEqual([[], [], before])
    })

    test.each([150, 5_000])('sage §21.29: %i texts in one request', async (count) => {
      const { ok, attempts } = await embed(texts(count))
      expectVectors(ok, texts(count))
      expect(attempts).toHaveLength(1)
    })

    test('sage §21.29: one vector too few ends in 30', async () => {
      fake().script({ short: true }, { short: true }, { short: true }, { short: true })
      const { raised } = await embed(texts(3))
      expect(raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
      fake().script() // what was not asked for is not kept for the next test
    })
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import type { Outcome } from './sage-process.ts'
import {
  PROVIDERS,
  type ProviderCase,
  result,
  type SageWorld,
  says,
  startSageWorld,
} from './sage-world.ts'

const TEXT = 'Ein Größenvergleich: 😀 ist größer als ✓.'

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  let env: Record<string, string>
  beforeAll(async () => {
    world = await startSageWorld({ llm: { heartbeat_ms: 100 } })
    env = await world.run()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  const stream = ({ provider, model }: ProviderCase, more = {}): Promise<Outcome> =>
    world.ask(env, 'stream', { model: `${provider}:${model}`, messages: says('x') }, more)
  const textOf = (outcome: Outcome): string =>
    result(outcome)
      .map(({ text }: { text: string }) => text)
      .join('')

  // Pieces of one byte cut at every offset; of three, in the middle of characters; of 64, across events.
  test.each(PROVIDERS)(
    'sage §21.23: $provider’s stream reads the same wherever its bytes are cut',
    async (one) => {
      for (const pieceBytes of [1, 3, 64]) {
        world.providers[one.provider].script({ text: TEXT, pieceBytes })
        expect(textOf(await stream(one)), `in pieces of ${pieceBytes}`).toBe(TEXT)
      }
    },
  )

  test('sage §21.23: pieces arrive as they are said, not all at the end', async () => {
    world.providers.openai.script({ text: TEXT, pauseMs: 30 })
    const pieces = result(await stream(PROVIDERS[0]))
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.at(-1).at_ms - pieces[0].at_ms).toBeGreaterThan(60)
  })

  test('sage §21.23: heartbeats keep a silence alive that is longer than the client’s patience', async () => {
    world.providers.openai.script({ text: 'slow', pauseMs: 450 })
    const outcome = await stream(PROVIDERS[0], { http: { timeout: 0.3 } })
    expect(textOf(outcome)).toBe('slow')
    expect(outcome.ms).toBeGreaterThan(900)
  })

  test('sage §21.24: a refused stream says so at once', async () => {
    const args = { model: 'openai:gpt-4.1', messages: says('x') }
    const refused = await world.ask(env, 'stream', args)
    expect(refused.raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
    expect(refused.raised?.message).toContain('model_not_allowed')
    expect(refused.ms).toBeLessThan(1_000)
  })

  test.each(PROVIDERS)(
    'sage §21.24: $provider’s 429 before the first byte says so at once',
    async (one) => {
      world.providers[one.provider].script({
        status: 429,
        body: { error: { message: 'slow down' } },
      })
      const limited = await stream(one)
      expect(limited.raised).toMatchObject({ class: 'RateLimitError', exit_code: 31 })
      expect(limited.raised?.message).toContain('provider_rate_limited')
      expect(limited.ms).toBeLessThan(1_000)
    },
  )

  test('a stream that is cut upstream reads as a shorter answer: a limit of this client, kept in our manual', async () => {
    world.providers.openai.script({ text: TEXT, cutAfter: 4 })
    const text = textOf(await stream(PROVIDERS[0]))
    expect(text).not.toBe('')
    expect(TEXT.startsWith(text)).toBe(true)
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { result, type SageWorld, says, startSageWorld } from './sage-world.ts'

const CHAT = { model: 'openai:gpt-4o', messages: says('x') }

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  beforeAll(async () => {
    world = await startSageWorld({ llm: { requests_per_run_minute: 60 } })
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  test('sage §21.43: it waits as long as it is told, and then succeeds', async () => {
    const env = await world.run()
    const waits: string[] = []
    const waited: number[] = []
    for (let call = 0; call < 64 && waits.length < 2; call += 1) {
      const { attempts, slept, ...outcome } = await world.ask(env, 'chat', CHAT)
      expect(result({ attempts, slept, ...outcome }).content).not.toBe('')
      waits.push(
        ...attempts.flatMap(({ status, headers }) =>
          status === 429 ? [headers['retry-after'] ?? ''] : [],
        ),
      )
      waited.push(...slept)
    }
    expect(waits.length).toBeGreaterThan(0)
    for (const wait of waits) expect(wait).toMatch(/^(?:[1-9]|[1-5]\d|60)$/)
    expect(waited).toEqual(waits.map(Number))
  })

  test.each([
    ['7', 7],
    ['3600', 60],
    ['-5', undefined],
    ['Fri, 20 Nov 2099 11:00:00 GMT', 60],
    ['soon', undefined],
  ])(
    'sage §21.43: a provider’s odd Retry-After of %s never makes it crash or sleep for long',
    async (given, seconds) => {
      const env = await world.run()
      world.providers.openai.script({ status: 429, headers: { 'retry-after': given }, body: {} })
      const http = { max_retries: 0 }
      const { raised, attempts } = await world.ask(env, 'chat', CHAT, { http })
      expect(raised).toMatchObject({ class: 'RateLimitError', exit_code: 31 })
      expect(attempts[0]?.headers['retry-after']).toBe(seconds?.toString())
    },
  )
})

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Forwarder } from '../../../packages/server/src/forward/forwarder.ts'
import { noPython } from '../client-process.ts'
import { PROVIDERS, result, type SageWorld, says, startSageWorld, WAYS } from './sage-world.ts'

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  let env: Record<string, string>
  beforeAll(async () => {
    world = await startSageWorld()
    env = await world.run()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  /** Every answer of ours as it has to be framed for this client. */
  function expectFramed(attempts: Awaited<ReturnType<SageWorld['ask']>>['attempts']): void {
    for (const { headers, closed } of attempts) {
      expect(headers).toMatchObject({ connection: 'close', 'content-length': expect.any(String) })
      expect(headers).not.toHaveProperty('transfer-encoding')
      expect(headers).not.toHaveProperty('content-encoding')
      expect(closed).toBe(true)
    }
    expect(attempts.length).toBeGreaterThan(0)
  }

  describe.each(WAYS)('by %s', (way) => {
    test.each(PROVIDERS)(
      'sage §21.1, §21.2: a chat with $provider succeeds',
      async ({ provider, model }) => {
        world.providers[provider].script({ text: 'Two findings.' })
        const args = { model: `${provider}:${model}`, messages: says('x = 1') }
        const answer = await world.ask(world.by(way, env), 'chat', args)
        expect(result(answer)).toMatchObject({ content: 'Two findings.', tool_calls: [] })
        expectFramed(answer.attempts)
      },
    )

    test('sage §21.1, §21.2: embeddings, health and tokens succeed', async () => {
      const by = world.by(way, env)
      const embedded = await world.ask(by, 'embed_documents', { texts: ['alpha', 'beta'] })
      expect(result(embedded)).toHaveLength(2)
      expectFramed(embedded.attempts)
      const health = await world.ask(by, 'health')
      expect(health.ok).toBe(true)
      // The common port answers `/health` to browsers and probes too, which keep their connections.
      if (way === 'socket') expectFramed(health.attempts)
      const { TRAT_FILE: _, ...withoutFile } = by
      const trat = await world.ask(withoutFile, 'trat')
      expect(result(trat).exp).toBeGreaterThan(Date.now() / 1_000 + 59)
      expectFramed(trat.attempts)
    })

    test('sage §21.1, §21.2: a stream succeeds', async () => {
      world.providers.openai.script({ text: 'One after the other.' })
      const args = { model: 'openai:gpt-4o', messages: says('x') }
      const pieces = result(await world.ask(world.by(way, env), 'stream', args))
      expect(pieces.map(({ text }: { text: string }) => text).join('')).toBe('One after the other.')
    })

    test('sage §21.5: a body of 21 MiB is refused in words, not by a broken pipe', async () => {
      const args = { model: 'openai:gpt-4o', messages: says('x'.repeat(21 * 1_048_576)) }
      const { raised, attempts } = await world.ask(world.by(way, env), 'chat', args)
      expect(raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
      expect(raised?.message).toMatch(/413.*request_too_large/)
      expect(attempts).toHaveLength(1)
      expectFramed(attempts)
    })

    test('a client that gives up is gone for the provider within a second', async () => {
      const fake = world.providers.openai
      fake.script({ delayMs: 5_000 })
      const http = { timeout: 0.1, max_retries: 0 }
      const args = { model: 'openai:gpt-4o', messages: says('x') }
      const { raised } = await world.ask(world.by(way, env), 'chat', args, { http })
      expect(raised).toMatchObject({ class: 'GatewayError', message: 'timed out' })
      await expect.poll(() => fake.requests.at(-1)?.aborted, { timeout: 1_000 }).toBe(true)
    })

    test('a refusal is framed as an answer is', async () => {
      const args = { model: 'openai:gpt-4.1', messages: says('x') }
      const { raised, attempts } = await world.ask(world.by(way, env), 'chat', args)
      expect(raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
      expectFramed(attempts)
    })
  })

  const CHAT = { model: 'gpt-4o', messages: says('x') }

  test('a forwarder whose gateway is away is asked again, and then says so', async () => {
    const path = join(world.directory(), 'fw.sock')
    const forwarder = new Forwarder({ dial: () => Promise.reject(new Error('away')) })
    onTestFinished(() => forwarder.close(0))
    await forwarder.listen(path, 0o600)
    const away = await world.ask({ ...env, LLM_GATEWAY_SOCKET: path }, 'chat', CHAT)
    expect(away.raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
    expect(away.raised?.message).toMatch(/503.*gateway_overloaded/)
    expect(away.slept).toHaveLength(3)
    expectFramed(away.attempts)
  })

  test('a socket that is not there ends in 32', async () => {
    const gone = { ...env, LLM_GATEWAY_SOCKET: '/nonexistent/llm.sock' }
    const { raised, slept } = await world.ask(gone, 'chat', CHAT)
    expect(raised).toMatchObject({ class: 'GatewayUnavailableError', exit_code: 32 })
    expect(slept).toHaveLength(3)
  })
})

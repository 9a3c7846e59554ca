import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { jwt } from './raw-server.ts'
import { MODELS, result, type SageWorld, says, startSageWorld } from './sage-world.ts'

const nowSeconds = (): number => Math.floor(Date.now() / 1_000)
const CHAT = { model: 'openai:gpt-4o', messages: says('x') }

describe.skipIf(noPython !== undefined)(`the Python SDK${noPython ? ` (${noPython})` : ''}`, () => {
  let world: SageWorld
  let env: Record<string, string>
  beforeAll(async () => {
    world = await startSageWorld()
    env = await world.run()
  })
  afterAll(() => world?.[Symbol.asyncDispose]())

  const expired = (): string => jwt({ exp: nowSeconds() - 1, txn: env['RUN_ID'] })

  test('sage §21.10: a rotated SVID is picked up, and an expired one ends in 11', async () => {
    const file = join(world.directory(), 'svid.jwt')
    const rotate = (token: string): void => {
      writeFileSync(`${file}.new`, token)
      renameSync(`${file}.new`, file)
    }
    const by = { ...env, SPIFFE_JWT_PATH: file }
    rotate(expired())
    const early = await world.ask(by, 'chat', CHAT, { on: 'rotating' })
    expect(early.raised).toMatchObject({ class: 'SpiffeAuthError', exit_code: 11 })
    rotate(readFileSync(env['SPIFFE_JWT_PATH'] ?? '', 'utf8'))
    const then = await world.ask(by, 'chat', CHAT, { on: 'rotating' })
    result(then)
    expect(then.events).toMatchObject([{ event: 'spiffe_jwt_refreshed' }])
    rotate(expired())
    // What it holds is good for longer than its margin, so the file is not read again.
    result(await world.ask(by, 'chat', CHAT, { on: 'rotating' }))
  })

  test('sage §21.10: the SVID file is whole whenever it is read, also while it is replaced', async () => {
    const { admin } = world.vestry
    const readings = Array.from({ length: 40 }, () => world.ask(env, 'svid'))
    await Promise.all([
      admin.call('admin.run.rotate_keys', { immediately: true }),
      ...readings.map(async (reading) => expect(result(await reading).split('.')).toHaveLength(3)),
    ])
    result(await world.ask(env, 'chat', CHAT))
  })

  describe('sage §21.11: the ladder of a TraT', () => {
    const sidecar = (): string | undefined => env['AUTH_SIDECAR_SOCKET']
    const file = (text: string): string => {
      const path = join(world.directory(), 'trat.jwt')
      writeFileSync(path, text)
      return path
    }
    const ladder = (args: object) =>
      world.ask(env, 'trat_ladder', { ...args, http: { retry_backoff: 0.01 } })

    test('a valid file is used', async () => {
      const { ok } = await ladder({ file: env['TRAT_FILE'] })
      expect(ok).toBe(readFileSync(env['TRAT_FILE'] ?? '', 'utf8').trim())
    })

    test('an expired file falls back to the sidecar, and says so', async () => {
      const { ok, events } = await ladder({ file: file(expired()), socket: sidecar() })
      expect(ok.split('.')).toHaveLength(3)
      expect(events).toMatchObject([{ event: 'trat_expired_fallback' }])
    })

    test('the call after the fallback is allowed', async () => {
      const { ok, events } = await world.ask({ ...env, TRAT_FILE: file(expired()) }, 'chat', CHAT)
      expect(ok.content).toBeTypeOf('string')
      expect(events).toContainEqual(expect.objectContaining({ event: 'trat_expired_fallback' }))
    })

    test('a closed run’s sidecar ends it in 12, without a second try', async () => {
      const closed = await world.run()
      await world.vestry.admin.call('admin.run.close', { id: closed['RUN_ID'] })
      const { raised, slept } = await ladder({
        file: file(expired()),
        socket: closed['AUTH_SIDECAR_SOCKET'],
      })
      expect(raised).toMatchObject({ class: 'TraTAcquisitionError', exit_code: 12 })
      expect(raised?.message).toContain('run_closed')
      expect(slept).toEqual([])
    })

    test('an expired file alone is 13; a missing one is 12 even beside a sidecar; nothing at all is 12', async () => {
      expect((await ladder({ file: file(expired()) })).raised?.exit_code).toBe(13)
      const missing = await ladder({ file: '/nonexistent', socket: sidecar() })
      expect(missing.raised?.exit_code).toBe(12)
      expect((await ladder({})).raised?.exit_code).toBe(12)
    })
  })

  describe('models', () => {
    const ALLOWED = ['triage', 'analysis', 'reasoning'] as const

    test.each(ALLOWED.flatMap((category) => MODELS[category]))(
      'sage §21.17: %s is allowed, and answers',
      async (model) => {
        expect(result(await world.ask(env, 'chat', { ...CHAT, model })).content).not.toBe('')
      },
    )

    test.each([
      'openai:gpt-4.1',
      'openai:claude-haiku-4-5',
      'anthropic:gpt-4o',
      'google:gemini-2.5-pro',
      'openai:text-embedding-3-small',
    ])(
      'sage §21.17: %s is no chat model of this run: 403, readable in an error that exits 30',
      async (model) => {
        const { raised, slept } = await world.ask(env, 'chat', { ...CHAT, model })
        expect(raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
        expect(raised?.message).toMatch(/403.*(?:model|category)_not_allowed/)
        expect(slept).toEqual([])
      },
    )

    test('sage §21.17: a chat model embeds nothing', async () => {
      const args = { model: 'gpt-4o', texts: ['a'] }
      const { raised } = await world.ask(env, 'embed_documents', args)
      expect(raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
      expect(raised?.message).toMatch(/403.*(?:model|category)_not_allowed/)
    })

    test('the selection follows the order of the registration', async () => {
      const select = async (category: string) => world.ask(env, 'select', { category })
      expect((await select('triage')).ok).toBe('openai:gpt-4o-mini')
      expect((await select('analysis')).ok).toBe('openai:gpt-4o')
    })

    test('sage §21.20: a run without models chooses a default of its own, and fails closed at the gateway', async () => {
      const bare = await world.run({ allowed_models: {} })
      const { ok: model } = await world.ask(bare, 'select', { category: 'analysis' })
      expect(model).toBe('openai:gpt-4o')
      const { raised } = await world.ask(bare, 'chat', { ...CHAT, model })
      expect(raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
      expect(raised?.message).toContain('403')
    })
  })
})

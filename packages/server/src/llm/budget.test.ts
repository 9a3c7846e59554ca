import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { budgetUse } from '../limits/budget.ts'
import { Limits } from '../limits/limits.ts'
import { eachStore } from '../store/test-store.ts'
import { type BudgetQuestion, budgetLimits, period, spentOf, toldExhausted } from './budget.ts'
import { BudgetSettings } from './budget-settings.ts'
import { estimateMax, guessUse, sizeOfChat, sizeOfNative } from './estimate.ts'
import { Prices } from './prices/prices.ts'

const NOW = Date.UTC(2026, 10, 20, 23, 59, 59)
const prices = new Prices()
const ref = { provider: 'openai', model: 'gpt-4o' }

function question(settings: unknown, over: Partial<BudgetQuestion> = {}): BudgetQuestion {
  return {
    settings: BudgetSettings.parse(settings),
    run: { id: 'run-1' },
    agent: { id: 'agent-1' },
    estimate: { tokens: 1_000, micros: 2_000 },
    nowMs: NOW,
    ...over,
  }
}

describe('the limits of one call', () => {
  test('are none where nothing is limited', () => {
    expect(budgetLimits(question({}))).toEqual([])
  })

  test('hold tokens and money of the run, the agent and everybody, each with its period', () => {
    const limits = budgetLimits(
      question({
        run: { tokens: 5_000 },
        agent: { tokens: 50_000, usd: 1.5 },
        total: { usd: 100, per: 'month' },
      }),
    )
    expect(
      limits.map(({ key, limit, amount, resetsAtMs }) => [key, limit, amount, resetsAtMs]),
    ).toEqual([
      ['llm:run:run-1:tokens', 5_000, 1_000, undefined],
      ['llm:agent:agent-1:tokens:2026-11-20', 50_000, 1_000, Date.UTC(2026, 10, 21)],
      ['llm:agent:agent-1:micros:2026-11-20', 1_500_000, 2_000, Date.UTC(2026, 10, 21)],
      ['llm:total:micros:2026-11', 100_000_000, 2_000, Date.UTC(2026, 11, 1)],
    ])
    expect(spentOf(limits, { promptTokens: 10, completionTokens: 5 }, { micros: 99 })).toEqual({
      'llm:run:run-1:tokens': 15,
      'llm:agent:agent-1:tokens:2026-11-20': 15,
      'llm:agent:agent-1:micros:2026-11-20': 99,
      'llm:total:micros:2026-11': 99,
    })
  })

  test('a run may be registered with less, never with more', () => {
    const limitOf = (budget: object, settings: object = { run: { tokens: 5_000 } }) =>
      budgetLimits(question(settings, { run: { id: 'r', budget } })).map(({ limit }) => limit)
    expect(limitOf({ tokens: 100 })).toEqual([100])
    expect(limitOf({ tokens: 9_000 })).toEqual([5_000])
    expect(limitOf({ usd: 0.25 })).toEqual([5_000, 250_000])
    expect(limitOf({ tokens: 7 }, {})).toEqual([7])
  })

  test('settings that limit nothing by mistake are refused', () => {
    for (const wrong of [
      { run: { token: 5 } },
      { run: { tokens: 0 } },
      { run: { usd: -1 } },
      { run: { per: 'day' } },
      { agent: { per: 'week' } },
      { everybody: {} },
    ])
      expect(BudgetSettings.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false)
  })

  test.each([
    ['day', Date.UTC(2026, 11, 31, 23), '2026-12-31', Date.UTC(2027, 0, 1)],
    ['month', Date.UTC(2026, 11, 31, 23), '2026-12', Date.UTC(2027, 0, 1)],
    ['month', Date.UTC(2028, 1, 29), '2028-02', Date.UTC(2028, 2, 1)],
  ] as const)('a %s is a calendar one in UTC', (per, nowMs, name, endsAtMs) => {
    expect(period(per, nowMs)).toEqual({ name, endsAtMs })
  })
})

describe('the estimate', () => {
  const text = { messages: [{ role: 'user' as const, content: 'hello' }] }

  test('is no smaller than what the text can become, and the answer may be', () => {
    const size = sizeOfChat({ ...text, max_tokens: 500 }, 3_000, 4_096)
    const { tokens, micros } = estimateMax(size, ref, prices)
    expect(tokens).toBe(3_000 + 1_024 + 500)
    expect(micros).toBe(4_024 * 2.5 + 500 * 10)
  })

  test('takes the newer name of the limit first, and the given default without one', () => {
    const limited = { ...text, max_tokens: 500, max_completion_tokens: 20 }
    expect(sizeOfChat(limited, 1, 4_096).maxOutputTokens).toBe(20)
    expect(sizeOfChat(text, 1, 4_096).maxOutputTokens).toBe(4_096)
  })

  test('counts a picture as a picture, however many bytes it has', () => {
    const data = `data:image/png;base64,${'A'.repeat(1_000_000)}`
    const part = (url: string) => ({ type: 'image_url' as const, image_url: { url } })
    const content = [
      part(data),
      part('https://example.com/a.png'),
      { type: 'text' as const, text: 'x' },
    ]
    const size = sizeOfChat({ messages: [{ role: 'user', content }] }, data.length + 200, 10)
    expect(size).toEqual({ textBytes: 200, mediaTokens: 2 * 8_192, maxOutputTokens: 10 })
    expect(estimateMax(size, ref, prices).tokens).toBe(200 + 2 * 8_192 + 1_024 + 10)
  })

  test('of what nobody counted is rather too much than too little', () => {
    const size = { textBytes: 300, mediaTokens: 8_192, maxOutputTokens: 500 }
    const spoken = guessUse(size, { received: 31, silentMs: 0 })
    expect(spoken).toEqual({ promptTokens: 100 + 8_192, completionTokens: 11 })
    const silent = guessUse(size, { received: 0, silentMs: 3_000 })
    expect(silent.completionTokens).toBe(300)
    expect(guessUse(size, { received: 30, silentMs: 60_000 }).completionTokens).toBe(510)
  })

  test('of a document is what a model can take in of it, wherever it lies', () => {
    const file = (file_data: string) => ({
      type: 'file' as const,
      file: { file_data, filename: 'a.pdf' },
    })
    const sized = (data: string) =>
      sizeOfChat({ messages: [{ role: 'user', content: [file(data)] }] }, data.length + 50, 1)
    expect(sized('A'.repeat(100))).toMatchObject({ textBytes: 50, mediaTokens: 8_192 })
    expect(sized('A'.repeat(60_000))).toMatchObject({ textBytes: 50, mediaTokens: 60_000 })
    expect(sized('A'.repeat(900_000))).toMatchObject({ textBytes: 50, mediaTokens: 200_000 })
  })

  test('sees the pictures of native requests, in results of tools too', () => {
    const image = (source: object) => ({ type: 'image', source })
    const data = 'A'.repeat(5_000)
    const content = [
      image({ type: 'base64', media_type: 'image/png', data }),
      image({ type: 'url', url: 'https://example.com/a.png' }),
      { type: 'tool_result', content: [image({ type: 'file', file_id: 'f' })] },
      { type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } },
      { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'words' } },
      { type: 'tool_use', input: image({ type: 'base64', data }) },
    ]
    const size = sizeOfNative({ messages: [{ role: 'user', content }] }, 6_000, 7)
    expect(size).toEqual({
      textBytes: 1_000,
      mediaTokens: 3 * 8_192 + 200_000,
      maxOutputTokens: 7,
    })
  })
})

eachStore('budgets of calls', (at) => {
  test('a spent budget is told from one that others hold, and from other limits', async () => {
    const limits = new Limits({ store: at.store, now: () => NOW, monotonic: () => NOW })
    const ask = (tokens: number) =>
      budgetLimits(question({ agent: { tokens: 1_000 } }, { estimate: { tokens, micros: 1 } }))
    const told = (wanted: ReturnType<typeof ask>) =>
      limits.reserve(wanted).catch((error) => toldExhausted(error, wanted))

    const first = await limits.reserve(ask(900))
    expect(await told(ask(200))).toMatchObject({ code: 'RATE_LIMITED', context: { held: true } })
    const spent = spentOf(ask(900), { promptTokens: 850, completionTokens: 100 }, { micros: 1 })
    await first.commit(spent)
    const [{ key } = { key: '' }] = ask(1)
    expect(await budgetUse(at.store.db, key)).toEqual({ reserved: 0, spent: 950 })
    expect(await told(ask(200))).toMatchObject({
      code: 'BUDGET_EXHAUSTED',
      message: 'The budget of this agent of 1000 tokens is used up',
      hint: expect.stringContaining('2026-11-21T00:00:00.000Z'),
      context: { scope: 'llm.budgets.agent.tokens', limit: 1_000, unit: 'tokens' },
    })
    await (await limits.reserve(ask(50))).release()

    const other = new VestryError('RATE_LIMITED', 'x', { context: { scope: 'requests' } })
    expect(toldExhausted(other, ask(1))).toBe(other)
  })
})

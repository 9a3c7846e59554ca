import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { LIST } from './list.ts'
import { loadPrices } from './price-file.ts'
import { costOf, Prices, type TokenUse } from './prices.ts'

const list = new Prices()
const million = { promptTokens: 1_000_000, completionTokens: 1_000_000 }
const costs = (provider: string, model: string, use: TokenUse = million) =>
  costOf(use, { provider, model }, list)

describe('the list', () => {
  test.each([
    ['openai', 'gpt-4o', 12_500_000],
    ['openai', 'gpt-4o-2024-08-06', 12_500_000],
    ['openai', 'gpt-4o-2024-05-13', 20_000_000],
    ['openai', 'gpt-4o-mini', 750_000],
    ['openai', 'GPT-4o-Mini-2024-07-18', 750_000],
    ['openai', 'text-embedding-3-small', 20_000],
    ['openai', 'text-embedding-ada-002', 100_000],
    ['anthropic', 'claude-sonnet-4-6', 18_000_000],
    ['anthropic', 'claude-opus-4-1-20250805', 90_000_000],
    ['anthropic', 'claude-3-5-haiku-latest', 4_800_000],
    ['google', 'gemini-2.5-flash-preview-09-2025', 2_800_000],
    ['google', 'gemini-embedding-001', 150_000],
    ['mock', 'anything', 0],
  ])('%s %s costs %i micro-dollars for a million each way', (provider, model, micros) => {
    expect(costs(provider, model)).toEqual({ micros, price: 'list' })
  })

  test('what it does not know costs as much as a large model, and says so', () => {
    for (const [provider, model] of [
      ['openai', 'gpt-4o-audio-preview'],
      ['openai', 'gpt-5.9'],
      ['openai', 'ft:gpt-4o:acme::1'],
      ['anthropic', 'gpt-4o'],
      ['local', 'llama'],
      ['openai', ''],
    ] as const) {
      expect(costs(provider, model), model).toEqual({ micros: 90_000_000, price: 'unknown' })
    }
  })

  test('names each model once, with prices that are prices', () => {
    const names = LIST.map(({ provider, model }) => `${provider}:${model}`)
    expect(new Set(names).size).toBe(names.length)
    for (const { model, input, output, cached = 0, written = input } of LIST) {
      expect(input, model).toBeGreaterThanOrEqual(cached)
      expect(written, model).toBeGreaterThanOrEqual(input)
      if (!/embedding/.test(model)) expect(output, model).toBeGreaterThanOrEqual(input)
    }
  })
})

describe('a cost', () => {
  const claude = { provider: 'anthropic', model: 'claude-sonnet-4-6' }

  test('counts cached and written prompt tokens at their own prices', () => {
    const use = {
      promptTokens: 1_000_000,
      completionTokens: 0,
      cachedTokens: 500_000,
      writtenTokens: 100_000,
    }
    expect(costOf(use, claude, list).micros).toBe(400_000 * 3 + 500_000 * 0.3 + 100_000 * 3.75)
  })

  test('of a prompt that counts as long is a multiple for prompt and answer', () => {
    const pro = { provider: 'google', model: 'gemini-2.5-pro' }
    const use = { promptTokens: 200_000, completionTokens: 1_000 }
    expect(costOf(use, pro, list).micros).toBe(250_000 + 10_000)
    expect(costOf({ ...use, promptTokens: 200_001 }, pro, list).micros).toBe(500_003 + 15_000)
  })

  test('is rounded up to a whole micro-dollar, and never negative', () => {
    const mini = { provider: 'openai', model: 'gpt-4o-mini' }
    expect(costOf({ promptTokens: 1, completionTokens: 0 }, mini, list).micros).toBe(1)
    expect(costOf({ promptTokens: 0, completionTokens: 0 }, mini, list).micros).toBe(0)
    const odd = { promptTokens: -5, completionTokens: Number.NaN, cachedTokens: 9 }
    expect(costOf(odd, mini, list).micros).toBe(0)
    const huge = { promptTokens: Number.MAX_VALUE, completionTokens: Number.MAX_SAFE_INTEGER }
    const dear = { provider: 'openai', model: 'o1-pro' }
    expect(costOf(huge, dear, list).micros).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('grows with every kind of token and is a whole number', () => {
    const count = fc.integer({ min: 0, max: 2_000_000 })
    const names = fc.constantFrom(...LIST)
    fc.assert(
      fc.property(names, count, count, count, fc.integer({ min: 1, max: 9 }), (ref, p, c, k, n) => {
        const use = { promptTokens: p, completionTokens: c, cachedTokens: Math.min(k, p) }
        const { micros } = costOf(use, ref, list)
        expect(Number.isSafeInteger(micros)).toBe(true)
        const more = { ...use, promptTokens: p + n, completionTokens: c + n }
        expect(costOf(more, ref, list).micros).toBeGreaterThanOrEqual(micros)
      }),
    )
  })
})

describe("the operator's own file", () => {
  const directory = mkdtempSync(join(tmpdir(), 'vestry-prices-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  let files = 0
  const file = (text: string) => {
    files += 1
    const path = join(directory, `${files}.yaml`)
    writeFileSync(path, text)
    return path
  }

  test('comes before the list, fills its gaps, and sets the price of the unknown', () => {
    const prices = loadPrices(
      file(`
prices:
  - { provider: openai, model: gpt-4o, input: 1, output: 2, cached: 0.5 }
  - { provider: local, model: '*', input: 0, output: 0 }
  - { provider: local, model: big*, input: 3, output: 4 }
unknown: { input: 7, output: 8 }
`),
    )
    const micros = (provider: string, model: string) => costOf(million, { provider, model }, prices)
    expect(micros('openai', 'gpt-4o-2024-08-06')).toEqual({ micros: 3_000_000, price: 'list' })
    expect(micros('openai', 'gpt-4o-mini')).toEqual({ micros: 750_000, price: 'list' })
    expect(micros('local', 'llama-9')).toEqual({ micros: 0, price: 'list' })
    expect(micros('local', 'big-llama')).toEqual({ micros: 7_000_000, price: 'list' })
    expect(micros('openai', 'gpt-9')).toEqual({ micros: 15_000_000, price: 'unknown' })
  })

  test('may be JSON, and may be empty', () => {
    const json = { prices: [{ provider: 'openai', model: 'x', input: 1, output: 1 }] }
    const prices = loadPrices(file(JSON.stringify(json)))
    expect(costOf(million, { provider: 'openai', model: 'x' }, prices).micros).toBe(2_000_000)
    for (const prices of [loadPrices(file('')), loadPrices(undefined)])
      expect(costs('openai', 'gpt-4o')).toEqual(
        costOf(million, { provider: 'openai', model: 'gpt-4o' }, prices),
      )
  })

  test.each([
    ['prices: [{ provider: openai, model: x, input: -1, output: 1 }]', /prices\.0\.input/],
    ['prices: [{ provider: openai, model: x, input: 1 }]', /prices\.0\.output/],
    ['prices: [{ provider: openai, model: x, input: 1, output: 1, ouput: 2 }]', /prices\.0/],
    ['prices: [{ provider: openai, model: x, input: 2500000, output: 1 }]', /prices\.0\.input/],
    [
      'prices: [{ provider: a, model: x, input: 1, output: 1 }, { provider: A, model: X, input: 1, output: 1 }]',
      /prices\.1\.model: a:x has two prices/,
    ],
    ['price: []', /price/],
    ['[1, 2]', /./],
    ['prices: [', /./],
    ['prices: 5\nprices: 6', /./],
  ])('%s is refused in words', (text, words) => {
    expect(() => loadPrices(file(text))).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(words),
        hint: expect.stringContaining('US dollars per million tokens'),
      }),
    )
  })

  test('that is not there is named', () => {
    expect(() => loadPrices(join(directory, 'none.yaml'))).toThrow(/none\.yaml: it cannot be read/)
  })
})

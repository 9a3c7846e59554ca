/**
 * What models cost: US dollars per million tokens. List prices as they were told in public in the first half of 2026,
 * not confirmed row by row by the publishers; where a budget must be exact, `llm.prices_file` in vestry.yaml comes
 * first. No discounts, batches or regions, since nobody here can see which of them an account has.
 */
import type { PriceRow } from './prices.ts'

export const LIST_DATE = '2026-06'

/** The last two: price of prompt tokens read from a cache (as input, unless told), and of those written to one. */
type Row = readonly [
  model: string,
  input: number,
  output: number,
  cached?: number,
  written?: number,
]

const OPENAI: readonly Row[] = [
  ['gpt-5.5', 5, 30, 0.5],
  ['gpt-5.4', 2.5, 15, 0.25],
  ['gpt-5.4-mini', 0.75, 4.5, 0.075],
  ['gpt-5.4-nano', 0.2, 1.25, 0.02],
  ['gpt-5.4-pro', 30, 180],
  ['gpt-5.3-codex', 1.75, 14, 0.175],
  ['gpt-5.3-chat', 1.75, 14, 0.175],
  ['gpt-5.2', 1.75, 14, 0.175],
  ['gpt-5.2-chat', 1.75, 14, 0.175],
  ['gpt-5.2-codex', 1.75, 14, 0.175],
  ['gpt-5.2-pro', 21, 168],
  ['gpt-5.1', 1.25, 10, 0.125],
  ['gpt-5.1-chat', 1.25, 10, 0.125],
  ['gpt-5.1-codex', 1.25, 10, 0.125],
  ['gpt-5.1-codex-max', 1.25, 10, 0.125],
  ['gpt-5.1-codex-mini', 0.25, 2, 0.025],
  ['gpt-5', 1.25, 10, 0.125],
  ['gpt-5-chat', 1.25, 10, 0.125],
  ['gpt-5-codex', 1.25, 10, 0.125],
  ['gpt-5-mini', 0.25, 2, 0.025],
  ['gpt-5-nano', 0.05, 0.4, 0.005],
  ['gpt-5-pro', 15, 120],
  ['gpt-4.1', 2, 8, 0.5],
  ['gpt-4.1-mini', 0.4, 1.6, 0.1],
  ['gpt-4.1-nano', 0.1, 0.4, 0.025],
  // The first version cost twice as much, and is kept apart for that.
  ['gpt-4o', 2.5, 10, 1.25],
  ['gpt-4o-2024-05-13', 5, 15],
  ['gpt-4o-mini', 0.15, 0.6, 0.075],
  ['chatgpt-4o', 5, 15],
  ['gpt-4-turbo', 10, 30],
  ['gpt-4', 30, 60],
  ['gpt-4-32k', 60, 120],
  ['gpt-3.5-turbo', 0.5, 1.5],
  ['gpt-3.5-turbo-16k', 3, 4],
  ['o1', 15, 60, 7.5],
  ['o1-mini', 1.1, 4.4, 0.55],
  ['o1-pro', 150, 600],
  ['o3', 2, 8, 0.5],
  ['o3-mini', 1.1, 4.4, 0.55],
  ['o3-pro', 20, 80],
  ['o4-mini', 1.1, 4.4, 0.275],
  ['text-embedding-3-small', 0.02, 0],
  ['text-embedding-3-large', 0.13, 0],
  ['text-embedding-ada', 0.1, 0],
]

const ANTHROPIC: readonly Row[] = [
  ['claude-opus-4-8', 5, 25, 0.5, 6.25],
  ['claude-opus-4-7', 5, 25, 0.5, 6.25],
  ['claude-opus-4-6', 5, 25, 0.5, 6.25],
  ['claude-opus-4-5', 5, 25, 0.5, 6.25],
  ['claude-opus-4-1', 15, 75, 1.5, 18.75],
  ['claude-opus-4', 15, 75, 1.5, 18.75],
  ['claude-sonnet-4-6', 3, 15, 0.3, 3.75],
  ['claude-sonnet-4-5', 3, 15, 0.3, 3.75],
  ['claude-sonnet-4', 3, 15, 0.3, 3.75],
  ['claude-haiku-4-5', 1, 5, 0.1, 1.25],
  ['claude-3-7-sonnet', 3, 15, 0.3, 3.75],
  ['claude-3-5-sonnet', 3, 15, 0.3, 3.75],
  ['claude-3-5-haiku', 0.8, 4, 0.08, 1],
  ['claude-3-opus', 15, 75, 1.5, 18.75],
  ['claude-3-sonnet', 3, 15],
  ['claude-3-haiku', 0.25, 1.25, 0.03, 0.3],
]

const GOOGLE: readonly Row[] = [
  ['gemini-3.1-pro', 2, 12, 0.2],
  ['gemini-3.1-flash-lite', 0.25, 1.5, 0.025],
  ['gemini-3-pro', 2, 12, 0.2],
  ['gemini-3-flash', 0.5, 3, 0.05],
  ['gemini-2.5-pro', 1.25, 10, 0.125],
  ['gemini-2.5-flash', 0.3, 2.5, 0.03],
  ['gemini-2.5-flash-lite', 0.1, 0.4, 0.01],
  ['gemini-2.0-flash', 0.1, 0.4, 0.025],
  ['gemini-2.0-flash-lite', 0.075, 0.3],
  ['gemini-1.5-pro', 1.25, 5, 0.3125],
  ['gemini-1.5-flash', 0.075, 0.3, 0.01875],
  ['gemini-1.5-flash-8b', 0.0375, 0.15, 0.01],
  ['gemini-embedding', 0.15, 0],
  ['text-embedding', 0.15, 0],
]

/** Where long prompts cost more: from this many prompt tokens on, as multiples for prompt and answer. */
const LONG: Readonly<Record<string, PriceRow['long']>> = {
  'gpt-5.5': { above: 272_000, prompt: 2, answer: 1.5 },
  'gpt-5.4': { above: 272_000, prompt: 2, answer: 1.5 },
  'claude-sonnet-4-5': { above: 200_000, prompt: 2, answer: 1.5 },
  'claude-sonnet-4': { above: 200_000, prompt: 2, answer: 1.5 },
  'gemini-3.1-pro': { above: 200_000, prompt: 2, answer: 1.5 },
  'gemini-3-pro': { above: 200_000, prompt: 2, answer: 1.5 },
  'gemini-2.5-pro': { above: 200_000, prompt: 2, answer: 1.5 },
  'gemini-1.5-pro': { above: 128_000, prompt: 2, answer: 2 },
}

/** What a model that no list knows is taken to cost: as much as a large one, so that no budget is outspent. */
export const UNKNOWN_PRICE = { input: 15, output: 75 }

export const LIST: readonly PriceRow[] = [
  ...rows('openai', OPENAI),
  ...rows('anthropic', ANTHROPIC),
  ...rows('google', GOOGLE),
  // Answers from within; nobody sends a bill.
  { provider: 'mock', model: '*', input: 0, output: 0 },
]

function rows(provider: string, list: readonly Row[]): PriceRow[] {
  return list.map(([model, input, output, cached, written]) => ({
    provider,
    model,
    input,
    output,
    ...(cached !== undefined && { cached }),
    ...(written !== undefined && { written }),
    ...(LONG[model] !== undefined && { long: LONG[model] }),
  }))
}

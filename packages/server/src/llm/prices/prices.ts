/** Finds the price of a model, and what a call cost. Amounts are whole micro-dollars, always rounded up. */
import { LIST, UNKNOWN_PRICE } from './list.ts'

/** US dollars per million tokens. */
export interface Price {
  readonly input: number
  readonly output: number
  /** Prompt tokens read from the provider's cache; as `input` unless told. */
  readonly cached?: number | undefined
  /** Prompt tokens written to it; as `input` unless told. */
  readonly written?: number | undefined
  /** For prompts of more than `above` tokens everything costs these multiples. */
  readonly long?:
    | { readonly above: number; readonly prompt: number; readonly answer: number }
    | undefined
}

export interface PriceRow extends Price {
  readonly provider: string
  /**
   * Canonical name; covers its dated and numbered versions too (`gpt-4o` covers `gpt-4o-2024-08-06`, but not
   * `gpt-4o-mini`). With a `*` at its end it covers every name that begins so.
   */
  readonly model: string
}

export interface ModelName {
  readonly provider: string
  readonly model: string
}

export interface TokenUse {
  /** Cached and written ones included. */
  readonly promptTokens: number
  readonly completionTokens: number
  readonly cachedTokens?: number
  readonly writtenTokens?: number
}

export interface Cost {
  readonly micros: number
  /** `unknown`: no list has this model, so the price of the unknown was taken. The audit says so. */
  readonly price: 'list' | 'unknown'
}

/** What follows a model's name when it is only another version of it. */
const VERSION = /^(?:[-@:](?:latest|preview|exp|experimental|stable|v?\d[\d.]*))*$/

const MICROS = 1_000_000
/** A price counts in whole micro-dollars per million tokens. */
const PER_MILLION = 1_000_000n

export class Prices {
  readonly #own: readonly PriceRow[]
  readonly #unknown: Price
  readonly #found = new Map<string, Price | undefined>()

  /** @param own Come before the list's, however long the names in it. */
  constructor(own: readonly PriceRow[] = [], unknown: Price = UNKNOWN_PRICE) {
    this.#own = own
    this.#unknown = unknown
  }

  priceOf(ref: ModelName): { price: Price; known: boolean } {
    const key = `${ref.provider}:${ref.model}`
    if (!this.#found.has(key)) {
      // Names come from callers: the memory of them is bounded.
      if (this.#found.size >= MAX_REMEMBERED) this.#found.clear()
      this.#found.set(key, best(this.#own, ref) ?? best(LIST, ref))
    }
    const found = this.#found.get(key)
    return { price: found ?? this.#unknown, known: found !== undefined }
  }
}

const MAX_REMEMBERED = 1_000

/** @param use Counts that are no whole numbers are rounded up, negative ones taken as 0. */
export function costOf(use: TokenUse, ref: ModelName, prices: Prices): Cost {
  const { price, known } = prices.priceOf(ref)
  return { micros: microsOf(use, price), price: known ? 'list' : 'unknown' }
}

function microsOf(use: TokenUse, price: Price): number {
  const prompt = whole(use.promptTokens)
  const cached = smaller(whole(use.cachedTokens ?? 0), prompt)
  const written = smaller(whole(use.writtenTokens ?? 0), prompt - cached)
  const long = price.long !== undefined && prompt > BigInt(price.long.above)
  const [forPrompt, forAnswer] = long ? [price.long?.prompt ?? 1, price.long?.answer ?? 1] : [1, 1]
  const sum =
    (prompt - cached - written) * micros(price.input * forPrompt) +
    cached * micros((price.cached ?? price.input) * forPrompt) +
    written * micros((price.written ?? price.input) * forPrompt) +
    whole(use.completionTokens) * micros(price.output * forAnswer)
  const result = (sum + PER_MILLION - 1n) / PER_MILLION
  return Number(smaller(result, BigInt(Number.MAX_SAFE_INTEGER)))
}

function best(rows: readonly PriceRow[], ref: ModelName): PriceRow | undefined {
  const provider = ref.provider.toLowerCase()
  const model = ref.model.toLowerCase()
  let found: PriceRow | undefined
  for (const row of rows) {
    if (row.provider.toLowerCase() !== provider || !covers(row.model.toLowerCase(), model)) continue
    if (found === undefined || row.model.length > found.model.length) found = row
  }
  return found
}

function covers(name: string, model: string): boolean {
  if (name.endsWith('*')) return model.startsWith(name.slice(0, -1))
  return model.startsWith(name) && VERSION.test(model.slice(name.length))
}

function micros(dollars: number): bigint {
  return BigInt(Math.ceil(dollars * MICROS))
}

function whole(count: number): bigint {
  return count > 0 ? BigInt(Math.ceil(Math.min(count, Number.MAX_SAFE_INTEGER))) : 0n
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

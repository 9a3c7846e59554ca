/** What the calls under one id come to, counted record by record: a call ends in exactly one record. */
import type { AuditRecord } from '../audit/record.ts'

export interface TraceTotals {
  /** Ended or refused, by what was called. */
  readonly calls: Readonly<Record<Called, number>>
  /** Of models, as providers count them or as estimated where they do not. */
  readonly tokens: number
  /** Millionths of a dollar: what models cost, and what tools are said to cost. */
  readonly cost_micros: number
  /** Refused before anything was done. */
  readonly denied: number
  /** Attempted without success. */
  readonly failed: number
}

type Called = 'model' | 'tool' | 'credential'

const KINDS: Readonly<Record<string, { called: Called; action: RegExp }>> = {
  llm: { called: 'model', action: /^(?:llm\.(?!models$|health$)|policy\.deny$|approval\.)/ },
  gateway: { called: 'tool', action: /^(?:tool\.(?:call|replay)|policy\.deny|approval\.)/ },
  vault: { called: 'credential', action: /^(?:credential\.|policy\.deny$|approval\.)/ },
}

export class TotalsCount {
  readonly #calls = { model: 0, tool: 0, credential: 0 }
  #tokens = 0
  #costMicros = 0
  #denied = 0
  #failed = 0

  add({ source, action, phase, success, data, outcome }: AuditRecord): void {
    const kind = KINDS[source]
    if (kind === undefined || phase === 'intent' || !kind.action.test(action)) return
    this.#calls[kind.called] += 1
    if (!success && phase === 'single') this.#denied += 1
    if (!success && phase === 'outcome') this.#failed += 1
    const usage = outcome?.['usage'] as { total?: unknown } | undefined
    this.#tokens += amount(usage?.total)
    const isPaidTool = success && action === 'tool.call' && outcome?.['cached'] !== true
    const toolCost = isPaidTool ? amount(data?.['cost_micros']) : 0
    this.#costMicros += amount(outcome?.['cost_micros']) + toolCost
  }

  get value(): TraceTotals {
    return {
      calls: { ...this.#calls },
      tokens: this.#tokens,
      cost_micros: this.#costMicros,
      denied: this.#denied,
      failed: this.#failed,
    }
  }
}

function amount(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

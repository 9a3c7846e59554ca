/** What the calls under one id come to, counted record by record: a call ends in exactly one record. */
import type { AuditRecord } from '../audit/record.ts'

export interface TraceTotals {
  /** Ended or refused, by what was called. */
  readonly calls: Readonly<Record<Called, number>>
  /** Of models, as providers count them or as estimated where they do not. */
  readonly tokens: number
  /** Millionths of a dollar: what models cost, and what tools are said to cost. */
  readonly cost_micros: number
  /** Refused by policy, for want of an approval or of a review, or because a budget was spent. */
  readonly denied: number
  /** Whatever else had no success: mistakes of the caller, too. */
  readonly failed: number
}

type Called = 'model' | 'tool' | 'credential'

const KINDS: Readonly<Record<string, { called: Called; action: RegExp }>> = {
  llm: { called: 'model', action: /^(?:llm\.(?!models$|health$)|policy\.deny$|approval\.)/ },
  gateway: { called: 'tool', action: /^(?:tool\.(?:call|replay)|policy\.deny|approval\.)/ },
  mcp: { called: 'tool', action: /^(?:mcp\.call$|policy\.deny$|approval\.)/ },
  vault: { called: 'credential', action: /^(?:credential\.|policy\.deny$|approval\.)/ },
}

/** Effects of programs and workflows: what they call is counted where it is done, what they are refused here. */
const REFUSED_EFFECT = /^(?:policy\.deny$|approval\.|http\.request$)/

/** Answers of policy, of approvals, of budgets, and of review. */
const DENIED: ReadonlySet<string> = new Set([
  'ACCESS_DENIED',
  'APPROVAL_REQUIRED',
  'BUDGET_EXHAUSTED',
  'DSL_POLICY_DENIED',
  'TOOL_NOT_VERIFIED',
])

export class TotalsCount {
  readonly #calls = { model: 0, tool: 0, credential: 0 }
  #tokens = 0
  #costMicros = 0
  #denied = 0
  #failed = 0

  add({ source, action, phase, success, data, outcome }: AuditRecord): void {
    const isDenied = !success && DENIED.has(outcome?.code ?? '')
    if (source === 'runtime' && isDenied && phase !== 'intent' && REFUSED_EFFECT.test(action))
      this.#denied += 1
    const kind = KINDS[source]
    if (kind === undefined || phase === 'intent' || !kind.action.test(action)) return
    this.#calls[kind.called] += 1
    if (isDenied) this.#denied += 1
    else if (!success) this.#failed += 1
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

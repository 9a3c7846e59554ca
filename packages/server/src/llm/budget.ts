/**
 * Budgets of model calls, in tokens and in micro-dollars, for a run, its agent and everybody together: what one call
 * holds of each before it is made, what it took of each afterwards, and how a refusal reads.
 */
import { VestryError } from '@vestry/contract/errors'
import type { BudgetLimit } from '../limits/budget.ts'
import type { BudgetSettings, RunBudget } from './budget-settings.ts'
import type { Estimate } from './estimate.ts'
import type { Cost, TokenUse } from './prices/prices.ts'

export type BudgetOwner = 'run' | 'agent' | 'total'
export type BudgetUnit = 'tokens' | 'micros'

export interface LlmBudget extends BudgetLimit {
  readonly owner: BudgetOwner
  readonly unit: BudgetUnit
}

export interface BudgetQuestion {
  readonly settings: BudgetSettings
  readonly run: {
    readonly id: string
    /** Its own, where it was registered with one; whichever is smaller counts. */
    readonly budget?: RunBudget | undefined
  }
  readonly agent: { readonly id: string }
  readonly estimate: Estimate
  readonly nowMs: number
}

const MICROS = 1_000_000

/** To be reserved together with the call's other limits. Empty where nothing is limited. */
export function budgetLimits(question: BudgetQuestion): LlmBudget[] {
  const { settings, run, agent, nowMs } = question
  const { run: own, agent: each, total } = settings
  const forRun = {
    tokens: smaller(own.tokens, run.budget?.tokens),
    usd: smaller(own.usd, run.budget?.usd),
  }
  return [
    ...pair(question, 'run', run.id, forRun, undefined),
    ...pair(question, 'agent', agent.id, each, period(each.per, nowMs)),
    ...pair(question, 'total', '', total, period(total.per, nowMs)),
  ]
}

/** What to settle each of them at, by key. */
export function spentOf(
  limits: readonly LlmBudget[],
  use: Pick<TokenUse, 'promptTokens' | 'completionTokens'>,
  cost: Pick<Cost, 'micros'>,
): Record<string, number> {
  const tokens = Math.max(0, Math.ceil(use.promptTokens) + Math.ceil(use.completionTokens))
  return Object.fromEntries(
    limits.map(({ key, unit }) => [key, unit === 'tokens' ? tokens : cost.micros]),
  )
}

/**
 * The error to tell, given what reserving threw. A budget that is spent is `BUDGET_EXHAUSTED`, which nobody retries;
 * where calls under way only hold what is left of it, the error stays `RATE_LIMITED` and says when to try again.
 */
export function toldExhausted(error: unknown, limits: readonly LlmBudget[]): unknown {
  if (!(error instanceof VestryError) || error.code !== 'RATE_LIMITED') return error
  const { scope, held } = error.context
  const budget = limits.find((limit) => limit.scope === scope)
  if (budget === undefined || held === true) return error
  const { owner, unit, limit, resetsAtMs } = budget
  const amount = inWords(limit, unit)
  if (budget.amount > limit) {
    return new VestryError(
      'BUDGET_EXHAUSTED',
      `This call may take ${inWords(budget.amount, unit)}. ${OWNERS[owner]} is ${amount} in all`,
      {
        hint: 'Send less, ask for a shorter answer, or ask an operator for more',
        context: { scope, limit, unit },
        cause: error,
      },
    )
  }
  const until = resetsAtMs === undefined ? undefined : new Date(resetsAtMs).toISOString()
  return new VestryError('BUDGET_EXHAUSTED', `${OWNERS[owner]} of ${amount} is used up`, {
    hint:
      until === undefined
        ? `Ask an operator to raise ${scope}, or register another run`
        : `A new period begins at ${until}; an operator can raise ${scope}`,
    context: { scope, limit, unit, ...(until !== undefined && { resets_at: until }) },
    cause: error,
  })
}

function inWords(amount: number, unit: BudgetUnit): string {
  return unit === 'tokens' ? `${amount} tokens` : `${amount / MICROS} US dollars`
}

const OWNERS: Readonly<Record<BudgetOwner, string>> = {
  run: 'The budget of this run',
  agent: 'The budget of this agent',
  total: 'The budget of all agents',
}

/** The key under which the store keeps a budget; for showing what was used of it. */
export function budgetKey(
  owner: BudgetOwner,
  id: string,
  unit: BudgetUnit,
  periodName?: string,
): string {
  const name = id === '' ? owner : `${owner}:${id}`
  return `llm:${name}:${unit}${periodName === undefined ? '' : `:${periodName}`}`
}

export interface Period {
  /** `2026-11-20` or `2026-11`. */
  readonly name: string
  readonly endsAtMs: number
}

/** The calendar day or month in UTC that a moment belongs to. */
export function period(per: 'day' | 'month', nowMs: number): Period {
  const date = new Date(nowMs)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  const text = date.toISOString()
  return per === 'day'
    ? { name: text.slice(0, 10), endsAtMs: Date.UTC(year, month, date.getUTCDate() + 1) }
    : { name: text.slice(0, 7), endsAtMs: Date.UTC(year, month + 1, 1) }
}

function pair(
  { estimate }: BudgetQuestion,
  owner: BudgetOwner,
  id: string,
  { tokens, usd }: { tokens?: number | undefined; usd?: number | undefined },
  within: Period | undefined,
): LlmBudget[] {
  const one = (unit: BudgetUnit, limit: number | undefined, amount: number): LlmBudget[] =>
    limit === undefined
      ? []
      : [
          {
            kind: 'budget',
            key: budgetKey(owner, id, unit, within?.name),
            scope: `llm.budgets.${owner}.${unit === 'tokens' ? 'tokens' : 'usd'}`,
            limit,
            amount,
            owner,
            unit,
            ...(within !== undefined && { resetsAtMs: within.endsAtMs }),
          },
        ]
  return [
    ...one('tokens', tokens, estimate.tokens),
    ...one('micros', usd === undefined ? undefined : Math.round(usd * MICROS), estimate.micros),
  ]
}

function smaller(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return Math.min(a, b)
}

/** The `llm.budgets` section: how much runs, agents and all of them together may use of models. */
import * as z from 'zod'

const Amounts = {
  /** Prompt and answer together. */
  tokens: z.int().min(1).max(1_000_000_000_000).optional(),
  usd: z.number().min(0.000_001).max(1_000_000_000).optional(),
}

const Periodic = z.strictObject({
  ...Amounts,
  /** Calendar days or months in UTC. */
  per: z.enum(['day', 'month']).default('day'),
})

/** Whatever is absent is not limited. */
export const BudgetSettings = z.strictObject({
  /** For each run, over its whole life. */
  run: z.strictObject(Amounts).prefault({}),
  /** For each agent, over all its runs. */
  agent: Periodic.prefault({}),
  /** For everybody together. */
  total: Periodic.prefault({}),
})
export type BudgetSettings = z.output<typeof BudgetSettings>

/** What a run may be registered with to have less than others. */
export const RunBudget = z.strictObject(Amounts)
export type RunBudget = z.output<typeof RunBudget>

/** What one model call is charged for: requests of its run, its organisation and its model, and budgets. */
import type { BucketLimit } from '../../limits/bucket.ts'
import { budgetLimits, type LlmBudget } from '../budget.ts'
import type { Llm } from '../llm.ts'
import type { LlmSettings } from '../settings.ts'
import { IN_PROCESS, type ModelCall } from './model-call.ts'

const DEFAULTS = {
  requests_per_run_minute: 60,
  requests_per_org_minute: 600,
  requests_per_model_minute: 600,
} as const

export function requestLimits(
  { settings, dev }: Pick<Llm, 'settings' | 'dev'>,
  { proof, target, arrival }: Pick<ModelCall, 'proof' | 'target' | 'arrival'>,
): BucketLimit[] {
  const { org_id } = proof.claims.tctx
  // Agents that run here are all of one organisation: each has its requests for itself, or one could take all of them.
  const org = arrival.route === IN_PROCESS ? `${org_id} ${proof.agent.id}` : org_id
  const limit = (name: keyof typeof DEFAULTS, key: string): BucketLimit[] => {
    const perMinute = rate(settings, name, dev)
    if (perMinute === undefined) return []
    return [
      {
        kind: 'bucket',
        key: `llm:${name}:${key}`,
        scope: `llm.${name}`,
        perSecond: perMinute / 60,
        burst: perMinute,
      },
    ]
  }
  return [
    ...limit('requests_per_run_minute', proof.run.id),
    ...limit('requests_per_org_minute', org),
    ...limit('requests_per_model_minute', `${org} ${target.ref}`),
  ]
}

export function budgetsOf(
  { settings, now }: Pick<Llm, 'settings' | 'now'>,
  { proof, estimate }: Pick<ModelCall, 'proof' | 'estimate'>,
): LlmBudget[] {
  if (estimate === undefined) return []
  const { run, agent } = proof
  return budgetLimits({ settings: settings.budgets, run, agent, estimate, nowMs: now() })
}

function rate(
  settings: LlmSettings,
  name: keyof typeof DEFAULTS,
  dev: boolean,
): number | undefined {
  return settings[name] ?? (dev ? undefined : DEFAULTS[name])
}

/** What operators ask of the LLM gateway: what was used of its budgets, and which providers it can reach. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import { budgetUse } from '../../limits/budget.ts'
import type { Store } from '../../store/store.ts'
import { type BudgetOwner, budgetLimits } from '../budget.ts'
import type { RunBudget } from '../budget-settings.ts'
import type { Llm } from '../llm.ts'
import type { KnownProvider } from '../providers/provider-table.ts'

export interface LlmVerbDeps {
  readonly llm: Llm
  readonly store: Pick<Store, 'db'>
  readonly agents: Pick<AgentStore, 'byName'>
  /** undefined: there is no such run. */
  readonly run: (id: string) => BudgetedRun | undefined | Promise<BudgetedRun | undefined>
}

interface BudgetedRun {
  readonly id: string
  readonly budget?: RunBudget | undefined
}

const NO_ESTIMATE = { tokens: 0, micros: 0 }
const ORG_KEYS = 'llm/orgs/'

export function llmVerbs(deps: LlmVerbDeps): AdminVerb[] {
  const { llm } = deps
  return [
    verb({
      name: 'llm.usage',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        run: z.string().min(1).max(128).optional(),
        agent: z.string().min(1).max(128).optional(),
        total: z.boolean().optional(),
      }),
      run: async ({ params }) => {
        const { run, agent, total } = params
        const owners: BudgetOwner[] = []
        if (run !== undefined) owners.push('run')
        if (agent !== undefined) owners.push('agent')
        if (total === true || owners.length === 0) owners.push('total')
        return { budgets: await budgetsIn(deps, { run, agent }, owners) }
      },
    }),
    verb({
      name: 'llm.models',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => {
        const orgs = await organisationKeys(deps)
        const providers = llm.providers.list().map((known) => describe(llm, known, orgs))
        return { providers: await Promise.all(providers) }
      },
    }),
  ]
}

async function budgetsIn(
  { llm, store, agents, run: findRun }: LlmVerbDeps,
  named: { run: string | undefined; agent: string | undefined },
  owners: readonly BudgetOwner[],
): Promise<Record<string, unknown>[]> {
  const run = named.run === undefined ? undefined : await findRun(named.run)
  if (named.run !== undefined && run === undefined)
    throw new VestryError('NOT_FOUND', 'there is no such run', { hint: 'See "vestry run list"' })
  const agent = named.agent === undefined ? undefined : await agents.byName(named.agent)
  if (named.agent !== undefined && agent === undefined)
    throw new VestryError('NOT_FOUND', `there is no agent '${named.agent}'`, {
      hint: 'See "vestry agent list"',
    })
  const limits = budgetLimits({
    settings: llm.settings.budgets,
    run: { id: named.run ?? '', ...(run?.budget !== undefined && { budget: run.budget }) },
    agent: { id: agent?.id ?? '' },
    estimate: NO_ESTIMATE,
    nowMs: llm.now(),
  }).filter(({ owner }) => owners.includes(owner))
  return Promise.all(
    limits.map(async ({ key, owner, unit, limit, resetsAtMs }) => {
      const { spent, reserved } = await budgetUse(store.db, key)
      return {
        owner,
        unit,
        spent,
        reserved,
        limit,
        left: Math.max(0, limit - spent - reserved),
        resets_at: resetsAtMs === undefined ? null : new Date(resetsAtMs).toISOString(),
      }
    }),
  )
}

/** Provider → organisations that have a key of their own. */
async function organisationKeys({ llm }: LlmVerbDeps): Promise<ReadonlyMap<string, string[]>> {
  const found = new Map<string, string[]>()
  for await (const { path, version } of llm.credentials.all({ prefix: ORG_KEYS })) {
    if (version === 0) continue
    const [org = '', provider = ''] = path.slice(ORG_KEYS.length).split('/')
    found.set(provider, [...(found.get(provider) ?? []), org])
  }
  return found
}

async function describe(
  { credentials, dev }: Llm,
  known: KnownProvider,
  orgs: ReadonlyMap<string, string[]>,
): Promise<Record<string, unknown>> {
  const { name, kind, baseUrl, credential, configured, mock } = known
  const found = credential === undefined ? undefined : await credentials.find(credential)
  const hasKey = found !== undefined && found.version > 0
  const needsNone = mock || credential === undefined
  const isMocked = mock || (dev && !configured && !hasKey)
  return {
    provider: name,
    kind,
    configured,
    base_url: mock ? null : baseUrl,
    credential: mock ? null : (credential ?? null),
    key: needsNone ? 'not_needed' : hasKey ? 'present' : 'missing',
    organisations: orgs.get(name) ?? [],
    answers: isMocked ? 'mock' : hasKey || needsNone ? 'live' : 'refused',
  }
}

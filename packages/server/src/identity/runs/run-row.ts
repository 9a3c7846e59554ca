/** A run as a row of the store: plain columns to look for it by, the rest as JSON, all of it under the row MAC. */
import { accept } from '@vestry/contract/accept'
import * as z from 'zod'
import type { Tables } from '../../store/schema.ts'
import type { RowGuard } from '../row-guard.ts'
import type { Run } from './run.ts'
import {
  AllowedModels,
  AllowedProviders,
  AllowedTools,
  Budget,
  defined,
  definedBudget,
  Requester,
} from './run-registration.ts'

type RunRow = Tables['run']

export const RUN_COLUMNS = [
  'id',
  'agent_id',
  'spiffe_id',
  'definition_json',
  'node',
  'uid',
  'state',
  'created_at',
  'expires_at',
  'closed_at',
  'mac',
] as const satisfies readonly (keyof RunRow)[]
/** Without the count that the MAC leaves out. */
export type RunRead = Pick<RunRow, (typeof RUN_COLUMNS)[number]>

const Definition = z.strictObject({
  sub: z.string(),
  scope: z.array(z.string()),
  org_id: z.string(),
  repo_url: z.string(),
  repo_ref: z.string(),
  agent_type: z.string(),
  agent_mode: z.string(),
  allowed_models: AllowedModels,
  allowed_providers: AllowedProviders,
  allowed_tools: AllowedTools,
  rctx: Requester,
  trat_ttl_seconds: z.int(),
  budget: Budget,
})

export function sealRun(run: Run, guard: RowGuard): RunRead {
  const { run_id: _, ...tctx } = run.tctx
  const definition: z.input<typeof Definition> = {
    ...(tctx as z.input<typeof Definition>), // the same lists, read-only
    sub: run.sub,
    scope: [...run.scope],
    repo_ref: run.repoRef,
    rctx: run.rctx,
    trat_ttl_seconds: run.tratTtlSeconds,
    budget: run.budget,
  }
  const row = {
    id: run.id,
    agent_id: run.agentId,
    spiffe_id: run.spiffeId,
    definition_json: JSON.stringify(definition),
    node: run.node,
    uid: run.uid ?? null,
    state: run.state,
    created_at: run.createdAt,
    expires_at: run.expiresAt,
    closed_at: run.closedAt ?? null,
  }
  return { ...row, mac: guard.mac('run', run.id, row) }
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
export function openRun({ mac, ...row }: RunRead, guard: RowGuard): Run {
  guard.check('run', row.id, row, mac)
  const { sub, scope, repo_ref, rctx, trat_ttl_seconds, budget, ...tctx } = accept(
    Definition,
    JSON.parse(row.definition_json),
    'STORE_CORRUPT',
  )
  return {
    id: row.id,
    agentId: row.agent_id,
    spiffeId: row.spiffe_id,
    sub,
    scope,
    tctx: { run_id: row.id, ...tctx },
    rctx: defined(rctx),
    repoRef: repo_ref,
    tratTtlSeconds: trat_ttl_seconds,
    budget: definedBudget(budget),
    node: row.node,
    uid: row.uid ?? undefined,
    state: row.state,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    closedAt: row.closed_at ?? undefined,
  }
}

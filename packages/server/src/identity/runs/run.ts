/** A run: one transaction of one agent, and everything its tokens may ever say. Pure. */

/** What models are chosen for; the order is that of the contract. */
export const CATEGORIES = ['triage', 'analysis', 'reasoning', 'embeddings'] as const
export type Category = (typeof CATEGORIES)[number]

/** Transaction context, as tokens carry it. @see sage contract §7.2 */
export interface TransactionContext {
  readonly run_id: string
  readonly org_id: string
  readonly repo_url: string
  readonly agent_type: string
  readonly agent_mode: string
  /** References `provider:model`, in order of preference. */
  readonly allowed_models: Readonly<Record<Category, readonly string[]>>
  /** Empty: no restriction beyond the models. */
  readonly allowed_providers: readonly string[]
  /** Tool names per server. */
  readonly allowed_tools: Readonly<Record<string, readonly string[]>>
}

/** Who or what asked for the run. For the record only; no decision depends on it. @see sage contract §7.3 */
export interface RequesterContext {
  readonly trigger?: string
  readonly pr_number?: number
  readonly actor?: string
  readonly source_ip?: string
}

/** What a run may use of models in all; absent members set no limit of their own. */
export interface RunBudget {
  readonly tokens?: number
  /** US dollars. */
  readonly usd?: number
}

export interface Run {
  /** Also its `txn`. */
  readonly id: string
  readonly agentId: string
  readonly spiffeId: string
  /** The principal it acts for. */
  readonly sub: string
  readonly scope: readonly string[]
  readonly tctx: TransactionContext
  readonly rctx: RequesterContext
  readonly repoRef: string
  readonly tratTtlSeconds: number
  readonly budget: RunBudget
  /** Id of the node whose sockets and files serve it. */
  readonly node: string
  /** Who may open its socket, besides root; undefined where nobody is known. */
  readonly uid: number | undefined
  readonly state: 'open' | 'closed'
  /** Epoch ms. */
  readonly createdAt: number
  readonly expiresAt: number
  readonly closedAt: number | undefined
}

/** Over from the very millisecond it expires. */
export function isOpen(run: Run, nowMs: number): boolean {
  return run.state === 'open' && nowMs < run.expiresAt
}

/** `txn_…` is minted for what has no run, so no run may be called so. */
const RUN_ID = /^(?!txn_)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

export function isRunId(text: string): boolean {
  return RUN_ID.test(text)
}

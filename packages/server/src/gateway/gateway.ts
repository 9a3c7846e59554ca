/** The parts the gateway's calls work with, put together once by app/. */
import type { Stations } from '../call/perform.ts'
import type { KeptInjections } from '../egress/kept-injections.ts'
import type { EgressDeps } from '../egress/send.ts'
import type { AgentStore } from '../identity/agent-store.ts'
import type { Journal } from '../journal/journal.ts'
import type { Seal } from '../seal/seal.ts'
import type { CredentialStore } from '../vault/credential-store.ts'
import type { Flights } from './call/flights.ts'
import type { Answer } from './call/outcome.ts'
import type { Chaos } from './chaos.ts'
import type { Submitted } from './jobs/job-status.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { Breakers } from './resilience/breakers.ts'
import type { ReplyCache } from './resilience/reply-cache.ts'
import type { GatewaySettings } from './settings.ts'
import type { TokenDesk } from './token-desk.ts'
import type { ToolCatalogue } from './tools/catalogue.ts'

export interface Gateway {
  readonly settings: GatewaySettings
  readonly dev: boolean
  readonly stations: Stations
  readonly seal: Seal
  readonly agents: AgentStore
  readonly credentials: CredentialStore
  readonly egress: EgressDeps
  readonly injections: KeptInjections
  readonly tools: ToolCatalogue
  readonly tokens: TokenDesk
  readonly journal: Journal
  readonly breakers: Breakers
  readonly cache: ReplyCache
  /** Answers a client may still be asking for again, by the key of the call. */
  readonly recent: ReplyCache
  readonly chaos: Chaos
  /** Synchronous calls under way here. */
  readonly flights: Flights<Answer>
  readonly submissions: Flights<Submitted>
  /** Requests of one agent, refused ones too; undefined: not limited. */
  readonly requestRate: { readonly perSecond: number; readonly burst: number } | undefined
  readonly metrics: GatewayMetrics
  readonly draining: () => boolean
  /** Aborted when a stop has waited for calls long enough. */
  readonly ending: AbortSignal
  /** Epoch ms. */
  readonly now: () => number
  readonly onInternalError: (requestId: string, error: unknown) => void
}

/** The kind of the gateway's executions in the journal. */
export const JOURNAL_KIND = 'gateway'

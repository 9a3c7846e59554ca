/** The parts the vault's methods work with, put together once by app/. */
import type { Stations } from '../call/perform.ts'
import type { Agent } from '../identity/agent.ts'
import type { AgentStore } from '../identity/agent-store.ts'
import type { Authenticator, JoinedRun } from '../identity/authenticate.ts'
import type { Session, SessionBook } from '../identity/session.ts'
import type { Seal } from '../seal/seal.ts'
import type { CredentialStore } from './credential-store.ts'
import type { LeaseDefaults } from './lease.ts'
import type { LeaseBook } from './lease-book.ts'
import type { Egress } from './operations/http-request.ts'
import type { VaultLimits } from './vault-limits.ts'
import type { WrapBook } from './wrap-book.ts'

export interface VaultSettings {
  readonly rawRetrieval: boolean
  readonly compatRust: boolean
  readonly leases: LeaseDefaults
  readonly egressTimeoutMs: number
}

export interface Vault {
  readonly version: string
  readonly settings: VaultSettings
  readonly seal: Seal
  readonly stations: Stations
  readonly agents: AgentStore
  readonly authenticator: Authenticator<Agent>
  readonly sessions: SessionBook
  readonly credentials: CredentialStore
  readonly leases: LeaseBook
  readonly wraps: WrapBook
  readonly limits: VaultLimits
  readonly egress: Egress
  /** The part that knows runs; joined by sessions that bring a transaction token. */
  readonly runs: VaultRuns
  readonly now: () => number
}

export interface VaultRuns {
  /** @throws VestryError `TXN_*`, `IDENTITY_TXN_MISMATCH`, `RUN_CLOSED` */
  join(token: string, agentId: string): Promise<JoinedRun>
  /** @throws VestryError `RUN_CLOSED` for the transaction of a run that is over. */
  assertOpen(txn: string): Promise<void>
}

/** What one request of a logged-in agent runs with. */
export interface AgentCall {
  readonly vault: Vault
  readonly session: Session
  readonly requestId: string
  readonly params: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
}

/** What admin verbs work with: the vault's parts and the stores of who may do what. */

import type { AuditIndex } from '../audit/audit-index.ts'
import type { Head } from '../audit/chain.ts'
import type { ApiKeyStore } from '../identity/api-key-store.ts'
import type { Authenticator } from '../identity/authenticate.ts'
import type { Operator } from '../identity/operator.ts'
import type { OperatorStore } from '../identity/operator-store.ts'
import type { PolicyStore } from '../policy/policy-store.ts'
import type { Store } from '../store/store.ts'
import type { LeaseRows } from '../vault/lease-rows.ts'
import type { Vault } from '../vault/vault.ts'

/** What only the running daemon can do. */
export interface Lifecycle {
  /** Seals: keys wiped, leases revoked, sessions ended. */
  seal(reason: string): Promise<void>
  /** Called once after the keys came: checks, policies, clean-up. */
  unsealed(): Promise<void>
  reloadPolicies(): Promise<void>
  /** Moves data keys to the newest term, in the background. */
  startRewrap(): void
  backup(directory: string, by: string): Promise<Record<string, unknown>>
  /** The end of the log as the store last kept it. */
  storeHead(): Promise<Head | undefined>
  describe(): Promise<Record<string, unknown>>
}

export interface AdminDeps {
  readonly vault: Vault
  readonly store: Store
  readonly operators: OperatorStore
  readonly authenticator: Authenticator<Operator>
  readonly apiKeys: ApiKeyStore
  readonly policies: PolicyStore
  readonly auditIndex: AuditIndex
  readonly leaseRows: LeaseRows
  readonly lifecycle: Lifecycle
}

/** What every operation of `use` is made of. */
import type { Decision, PolicyContext } from '../../policy/engine.ts'
import type { Secret } from '../../seal/secret.ts'
import type { Credential } from '../credential.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import type { Params } from './params.ts'

/** The credential, opened for one use. The operation borrows the secret. */
export interface Opened {
  readonly secret: Secret
  readonly version: number
  readonly credential: Credential
}

export interface Execution {
  readonly call: AgentCall
  readonly path: string
  readonly decision: Decision
  readonly open: (version?: number) => Promise<Opened>
  /** Adds facts to the outcome record: numbers, hosts, never values. */
  readonly note: (facts: Record<string, unknown>) => void
}

/** One call whose parameters were read and found good; the secret is not yet touched. */
export interface Prepared {
  /** What policy needs to know of the parameters. */
  readonly context: Partial<PolicyContext>
  /** What the record says of them. */
  readonly data?: Readonly<Record<string, unknown>>
  /** What an approval binds to. */
  readonly approvalParams: unknown
  /** Refuses what the credential's own settings forbid; runs once policy has allowed the call. */
  readonly check?: (credential: Credential, decision: Decision) => void
  /** The operation hands out the secret: a lease is planned and recorded for it. */
  readonly revealing?: boolean
  readonly run: (execution: Execution) => Promise<Reply>
}

export interface Operation {
  /** Names of the params it knows. */
  readonly params: readonly string[]
  /** @throws VestryError INVALID_PARAMS naming the member that is wrong or missing. */
  prepare(params: Params, found: Credential | undefined, path: string): Prepared
}

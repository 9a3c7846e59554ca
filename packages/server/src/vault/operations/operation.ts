/** What every operation of `use` is made of. */
import type { Note } from '../../call/perform.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Decision, PolicyContext } from '../../policy/engine.ts'
import type { Secret } from '../../seal/secret.ts'
import type { Credential } from '../credential.ts'
import type { PlannedLease } from '../methods/granting.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import type { Params } from './params.ts'

/** The credential, opened for one use. The operation owns the secret and disposes it. */
export interface Opened {
  readonly secret: Secret
  readonly version: number
  readonly credential: Credential
}

export interface Execution {
  readonly call: AgentCall
  readonly caller: Caller
  readonly path: string
  readonly decision: Decision
  readonly open: (version?: number) => Promise<Opened>
  readonly note: Note
}

/** One call whose parameters were read and found good; the secret is not yet touched. */
export type Prepared = PreparedUse | PreparedReveal

interface PreparedCall {
  /** What policy needs to know of the parameters. */
  readonly context: Partial<PolicyContext>
  /** What the record says of them: numbers and words of ours. */
  readonly data?: Readonly<Record<string, unknown>>
  /** What an approval binds to: everything that changes what will happen. */
  readonly approvalParams: unknown
  /** Refuses what the credential's own settings forbid; runs once policy has allowed the call. */
  readonly check?: (credential: Credential) => void
}

export interface PreparedUse extends PreparedCall {
  readonly reveals?: false
  /** Takes what there is only so much of, before anything is recorded. @throws RATE_LIMITED */
  readonly hold?: (call: AgentCall) => Disposable
  readonly run: (execution: Execution) => Promise<Reply>
}

/** The operation hands out the secret: a lease is planned and recorded, which it issues. */
export interface PreparedReveal extends PreparedCall {
  readonly reveals: true
  readonly run: (execution: Execution & { readonly lease: PlannedLease }) => Promise<Reply>
}

export interface Operation {
  /** Names of the params it knows. */
  readonly params: readonly string[]
  /** @throws VestryError INVALID_PARAMS naming the member that is wrong or missing. */
  prepare(params: Params, found: Credential | undefined): Prepared
}

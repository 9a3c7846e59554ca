/** Agents that are programs, as deployments and workflows see them. */

import type { CheckedAgent, ProgramDefinition } from '../../dsl/definition.ts'
import type { Permissions } from '../../dsl/permissions.ts'
import type { Caller } from '../../identity/caller.ts'

export interface ProgramVersion {
  readonly agentId: string
  /** From 1. */
  readonly version: number
  readonly source: string
  readonly sourceHash: string
  readonly definition: ProgramDefinition
  readonly permissions: Permissions
  readonly createdBy: string
  /** Epoch ms. */
  readonly createdAt: number
}

export interface Programs {
  /** @param version The newest where none is named. @throws VestryError STORE_CORRUPT */
  version(agentId: string, version?: number): Promise<ProgramVersion | undefined>
  /** Parsed again from its source, and remembered. */
  code(version: ProgramVersion): CheckedAgent
  /**
   * Brings into force what this version asks for, for as long as the deployment runs, and for runs of this very
   * version alone. Puts policies `dsl:<deployment>#…` into the policy store within the change that is under way.
   * @throws VestryError POLICY_INVALID
   */
  grant(deploymentId: string, version: ProgramVersion, by: string): Promise<void>
  /** Takes them out of force. Of one that has none nothing happens. */
  withdraw(deploymentId: string): Promise<void>
  /**
   * Compiles a source that nobody registered, and runs the action or agent in it as `caller`, with no more
   * permissions than the caller has.
   * @throws VestryError DSL_INVALID with every diagnostic, and how the run failed
   */
  runSource(asked: {
    readonly source: string
    readonly input: Readonly<Record<string, unknown>>
    readonly caller: Caller
    readonly requestId: string
    readonly executionId: string
    readonly signal: AbortSignal
  }): Promise<unknown>
}

/** What programs reach through the daemon. Each is handed in, because each is somebody else's part. */
import type { Json } from '../../dsl/definition.ts'
import type { SecretRef } from '../../dsl/host.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Secret } from '../../seal/secret.ts'
import type { ToolSources } from '../agents/tool-source.ts'
import type { WorkflowStarter } from '../workflows/workflow-starter.ts'

export interface ProgramDoors {
  readonly tools: ToolSources
  readonly toolTimeoutMs: number
  readonly newRequestId: () => string
  /** Random: an id that nobody can guess. */
  readonly newId: () => string
  /** Epoch ms. */
  readonly now: () => number
  /** @throws VestryError IDENTITY_INVALID where the agent was disabled or revoked since. */
  readonly assertActive: (caller: Caller) => Promise<void>
  readonly recordDenial: (denial: Denial) => Promise<void>
  readonly ask: AskDoor
  readonly publish: (published: Published) => Promise<{ readonly delivered: number }>
  readonly openSecret: (asked: AskedSecret) => Promise<Secret>
  /** These come to be later than programs do. @throws VestryError NOT_READY */
  readonly workflows: () => WorkflowStarter
  readonly knowledge: () => KnowledgeDoor
  readonly http: () => HttpDoor
}

export interface Denial {
  readonly caller: Caller
  readonly executionId: string
  readonly operation: string
  readonly name: string
  readonly rule: string | undefined
}

/** Another agent, asked in the name of this one. */
export interface AskDoor {
  /** @throws VestryError AGENT_NOT_FOUND, ACCESS_DENIED, QUEUE_FULL …: it was not started. */
  start(asked: {
    readonly agent: string
    readonly input: Json
    readonly caller: Caller
    readonly requestId: string
    readonly executionId: string
  }): Promise<string>
  /**
   * What it answered; what it has read, the asking transaction has read from then on.
   * @throws VestryError what it failed with; the signal's reason
   */
  ended(executionId: string, txn: string, signal: AbortSignal): Promise<Json>
}

export interface Published {
  readonly agent: Agent
  readonly caller: Caller
  readonly executionId: string
  readonly topic: string
  readonly value: Json
  /** Names of agents. */
  readonly subscribers: readonly string[]
}

export interface AskedSecret {
  readonly agent: Agent
  readonly caller: Caller
  readonly requestId: string
  readonly secret: SecretRef
}

export interface KnowledgeDoor {
  /** The best first; the transaction counts as having read them when this resolves. */
  search(asked: AskedKnowledge & { readonly query: string; readonly limit: number }): Promise<Json>
  /** @returns the id under which it is kept. */
  remember(asked: AskedKnowledge & { readonly content: Json }): Promise<string>
  /** Likewise counts as having been read. */
  recall(asked: AskedKnowledge & { readonly query: string; readonly limit: number }): Promise<Json>
}

export interface AskedKnowledge {
  readonly agent: Agent
  readonly caller: Caller
  readonly requestId: string
  readonly signal: AbortSignal
}

export interface HttpDoor {
  /** Through all stations, guarded at each hop. @throws VestryError ACCESS_DENIED, UPSTREAM_FAILED … */
  send(asked: {
    readonly agent: Agent
    readonly caller: Caller
    readonly requestId: string
    readonly method: string
    readonly url: string
    readonly headers: Readonly<Record<string, string | SecretRef>>
    readonly body: string | undefined
    readonly timeoutMs: number
    readonly signal: AbortSignal
  }): Promise<{
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
    /** Where the body was no UTF-8. */
    readonly body_encoding?: 'base64'
  }>
}

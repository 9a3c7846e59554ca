/** How inputs and endpoints have an agent run. The agent acts as itself; who asked from outside is in the record. */
import type { ProgramAsk } from '../agents/program-ask.ts'

export interface AgentInvoker {
  /** Whether there is an agent of this name. */
  exists(agentName: string): Promise<boolean>
  /**
   * Starts one execution.
   *
   * @throws VestryError AGENT_NOT_FOUND, ACCESS_DENIED, QUEUE_FULL, NOT_READY: it was not started.
   */
  start(request: {
    readonly agentName: string
    /** A JSON object. */
    readonly input: Readonly<Record<string, unknown>>
    /** `http_input:his_…`, `endpoint:ep_…` */
    readonly trigger: string
    readonly requestId: string
    readonly traceparent?: string | undefined
    readonly remoteAddress?: string | undefined
    /** `operator:ada`: who is named in the record in place of the agent itself. */
    readonly askedBy?: string
    /** Of an agent that is a program. */
    readonly program?: ProgramAsk
    /** Minted by who asks, so that it is started once. @throws VestryError CONFLICT where there is one of this id. */
    readonly executionId?: string
  }): Promise<StartedExecution>
}

export interface StartedExecution {
  readonly executionId: string
  /** Settles when the agent has ended; never rejects. */
  readonly ended: Promise<ExecutionEnd>
}

export type ExecutionEnd =
  | { readonly status: 'completed'; readonly output: unknown }
  | {
      readonly status: 'failed'
      readonly error: { readonly code: string; readonly message: string }
    }

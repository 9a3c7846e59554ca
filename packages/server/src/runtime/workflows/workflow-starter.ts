/** How the rest of the runtime has a workflow run. */
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'

export interface WorkflowStarter {
  /** @throws VestryError WORKFLOW_NOT_FOUND, VALIDATION_ERROR, ACCESS_DENIED, QUEUE_FULL: it was not started. */
  start(asked: AskedWorkflow): Promise<StartedWorkflow>
}

export interface AskedWorkflow {
  readonly workflowId: string
  readonly params: Readonly<Record<string, unknown>>
  /** Whoever asks, and may or may not start it; what it has read is known to have been read. */
  readonly caller: Caller
  /** In whose name it runs, where an administrator named an agent; else in that of who asks. */
  readonly as?: Agent
  readonly requestId: string
  /** `api`, `agent:<execution>`, `schedule:<id>` … */
  readonly trigger: string
  /** The same key starts it once, also after a crash of who asks. */
  readonly key?: string
}

export interface StartedWorkflow {
  readonly executionId: string
  /** Settles at its end; never rejects. */
  readonly ended: Promise<WorkflowEnd>
}

export interface WorkflowEnd {
  readonly executionId: string
  readonly status: 'completed' | 'failed' | 'cancelled' | 'timeout'
  readonly result: Readonly<Record<string, unknown>> | null
  readonly error?: { readonly step?: string; readonly code: string; readonly message: string }
}

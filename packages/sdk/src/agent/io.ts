/** What goes into an agent and what comes out of it. */
import type { UsageEntry } from '../llm/usage-ledger.ts'

/** What an agent works on. */
export interface AgentInput {
  /** E.g. `repository`. */
  readonly ioType: string
  /** @throws ValidationError when the agent cannot work on it. */
  validate?(): Promise<void> | void
}

/** Of the run that an output belongs to; each fact may be unknown. */
export interface OutputRun {
  readonly agentName?: string | undefined
  readonly runId?: string | undefined
  /** The root that paths in the output are relative to. */
  readonly repositoryPath?: string | undefined
  /** The run was stopped before it was done. */
  readonly partial?: boolean | undefined
  readonly exitCode?: number | undefined
  /** What the models of the run's context used so far. */
  readonly tokenUsage?: readonly UsageEntry[] | undefined
}

/** What an agent hands back to be kept. */
export interface AgentOutput {
  /** E.g. `sarif`. */
  readonly ioType: string
  /**
   * @param directory Is created where it is missing.
   * @returns The names of the files in it.
   */
  write(directory: string, run?: OutputRun): Promise<string[]>
}

/** How a run ended, in the agent's words. */
export interface AgentResult {
  /** Written whatever the exit code is. */
  output?: AgentOutput | undefined
  /** 0 to 255. Default 0. */
  exitCode?: number | undefined
  /** Logged when it is not empty. */
  error?: string | undefined
  /** Kept in the run summary. */
  metadata?: Readonly<Record<string, unknown>> | undefined
  /** Set by the runner. */
  durationSeconds?: number | undefined
}

/** What a report is made of: the facts of the tool, and those that only the runner knows. */
import type { UsageEntry } from '../../llm/usage-ledger.ts'
import type { Finding, TokenUsage } from './finding.ts'

export const SARIF_VERSION = '2.1.0'
export const SARIF_SCHEMA =
  'https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json'

/** Something the tool itself ran into, e.g. a file it could not analyse. */
export interface Notification {
  readonly level: 'error' | 'warning' | 'note'
  readonly message: string
  /** Relative to the repository, or absolute inside of it. */
  readonly file?: string
}

export interface ReportFacts {
  readonly toolName: string
  readonly toolVersion: string
  readonly findings: readonly Finding[]
  readonly tokenUsage: readonly TokenUsage[]
  readonly notifications: readonly Notification[]
}

/** Of the run a report belongs to; each fact may be unknown. */
export interface ReportRun {
  /** Default: the name of the tool. */
  readonly agentName?: string | undefined
  readonly runId?: string | undefined
  /** The root that paths of findings are relative to. */
  readonly repositoryPath?: string | undefined
  /** The run was stopped: there may be more to find. */
  readonly partial?: boolean | undefined
  /** Other than 0 marks the run as failed. */
  readonly exitCode?: number | undefined
  /** Stands in the report of an agent that gave no usage of its own. */
  readonly tokenUsage?: readonly UsageEntry[] | undefined
}

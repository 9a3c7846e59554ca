/** What more is said where the agent that is to run is a program. Kept with the execution. */

export interface ProgramAsk {
  /** Of `dsl_program`; absent: the newest. */
  readonly version?: number
  /** Of actions, in this order; absent: all of them, in the order of the source. */
  readonly actions?: readonly string[]
  readonly deploymentId?: string
  /** `workflow_id`, `timeout_seconds`, `env` …, as the deployment has them. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The request from outside that fired a trigger. Its signature was verified before the run was started. */
  readonly inbound?: {
    readonly trigger: string
    readonly provider: string
    readonly event: string
    /** Lower-case names, without those that carry credentials. */
    readonly headers: Readonly<Record<string, string>>
    readonly contentType: string
    /** base64 of the body as it came. */
    readonly body: string
  }
}

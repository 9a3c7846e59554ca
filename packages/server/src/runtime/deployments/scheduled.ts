/** Runs of a deployment that are due: the version that is deployed, within its places and its time. */
import { asVestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { formatTraceparent, newTrace, type Trace } from '../../identity/traceparent.ts'
import type { StartedExecution } from '../http-input/agent-invoker.ts'
import { servesNoMore } from './deployment-runs.ts'
import type { Deployments } from './deployments.ts'
import type { HookRecord } from './hooks.ts'
import type { Invocations } from './invocation.ts'

export interface ScheduledDeps {
  readonly deployments: Pick<Deployments, 'get' | 'live'>
  readonly invocations: Pick<Invocations, 'start'>
  readonly record: (fact: HookRecord) => Promise<void>
  readonly warn: (line: string) => void
}

export interface DueRun {
  readonly deploymentId: string
  /** Of the schedule. */
  readonly id: string
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
  readonly actions: readonly string[] | undefined
  /** What is recorded beside the run itself: `none`, `errors_only`; anything else: all of it. */
  readonly audit: string | undefined
  readonly requestId: string
}

export class Scheduled {
  readonly #deps: ScheduledDeps

  constructor(deps: ScheduledDeps) {
    this.#deps = deps
  }

  /** @throws VestryError DEPLOYMENT_NOT_FOUND, INVALID_STATE_TRANSITION, RATE_LIMITED, and what the start throws. */
  async start(due: DueRun): Promise<StartedExecution> {
    const trace = newTrace(undefined)
    try {
      const started = await this.#start(due, trace)
      const { executionId } = started
      if (due.audit !== 'none' && due.audit !== 'errors_only')
        await this.#record('trigger.fire', due, trace, { executionId })
      return { executionId, ended: this.#watched(due, trace, started) }
    } catch (error) {
      await this.#failed(due, trace, { code: asVestryError(error).code })
      throw error
    }
  }

  async #start(due: DueRun, trace: Trace): Promise<StartedExecution> {
    const { deployments, invocations } = this.#deps
    const { deploymentId, actions } = due
    const live = deployments.live(deploymentId)
    if (live === undefined)
      throw servesNoMore(deploymentId, (await deployments.get(deploymentId)).status)
    return invocations.start(live, {
      input: due.input,
      trigger: `schedule:${due.id}`,
      // Of its own: in a trace, records of one id are one call.
      requestId: newRequestId(),
      traceparent: formatTraceparent(trace),
      ...(actions !== undefined && { actions }),
    })
  }

  async #watched(due: DueRun, trace: Trace, { executionId, ended }: StartedExecution) {
    const end = await ended
    if (end.status === 'failed')
      await this.#failed(due, trace, { executionId, code: end.error.code })
    return end
  }

  async #failed(
    due: DueRun,
    trace: Trace,
    what: { readonly executionId?: string; readonly code: string },
  ): Promise<void> {
    if (due.audit === 'none') return
    await this.#record('trigger.fail', due, trace, what).catch((error: unknown) =>
      this.#deps.warn(`schedule ${due.id}: ${asVestryError(error).code}`),
    )
  }

  async #record(
    action: HookRecord['action'],
    { deploymentId, id, name, requestId }: DueRun,
    trace: Trace,
    { executionId, code }: { readonly executionId?: string; readonly code?: string },
  ): Promise<void> {
    const agent = this.#deps.deployments.live(deploymentId)?.deployment.facts.agentName ?? ''
    await this.#deps.record({
      action,
      agent,
      requestId,
      txn: executionId,
      trace,
      data: {
        deployment: deploymentId,
        trigger: name,
        schedule: id,
        ...(code !== undefined && { code }),
      },
    })
  }
}

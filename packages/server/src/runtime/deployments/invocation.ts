/** Has a deployment's agent run: within its places and its time, and remembers how it went. */
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { ProgramAsk } from '../agents/program-ask.ts'
import type { AgentInvoker, ExecutionEnd, StartedExecution } from '../http-input/agent-invoker.ts'
import { type DeploymentRuns, servesNoMore } from './deployment-runs.ts'
import type { Deployments } from './deployments.ts'
import type { Live } from './live.ts'

export interface InvocationDeps {
  readonly deployments: Deployments
  readonly runs: DeploymentRuns
  readonly agents: AgentInvoker
  /** Ends an execution. */
  readonly cancel: (executionId: string) => Promise<void>
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

export interface AskedInvocation {
  readonly input: Readonly<Record<string, unknown>>
  readonly trigger: string
  readonly requestId: string
  /** `operator:ada`: who asked for it, where it is somebody known. */
  readonly askedBy?: string
  readonly traceparent?: string | undefined
  readonly remoteAddress?: string | undefined
  readonly executionId?: string
  readonly actions?: readonly string[]
  readonly inbound?: NonNullable<ProgramAsk['inbound']>
}

/** The API itself answers within 25 s. */
const ANSWER_MS = 23_000

export class Invocations {
  readonly #deps: InvocationDeps

  constructor(deps: InvocationDeps) {
    this.#deps = deps
  }

  /** @throws VestryError RATE_LIMITED, INVALID_STATE_TRANSITION, and what the start of the agent throws. */
  async start(live: Live, asked: AskedInvocation): Promise<StartedExecution> {
    const { runs, agents, now } = this.#deps
    const { id, config, facts } = live.deployment
    const executionId = asked.executionId ?? newTimeOrderedId('exe', now())
    const isMine = await runs.take(id, executionId, config.max_concurrent_tasks)
    try {
      const started = await agents.start({
        agentName: facts.agentName,
        input: asked.input,
        trigger: asked.trigger,
        requestId: asked.requestId,
        traceparent: asked.traceparent,
        remoteAddress: asked.remoteAddress,
        executionId,
        ...(asked.askedBy !== undefined && { askedBy: asked.askedBy }),
        program: askOf(live, asked),
      })
      return { ...started, ended: this.#watch(live, started) }
    } catch (error) {
      // Whoever else starts the same one keeps its place.
      if (isMine) await runs.giveBack(executionId).catch(() => undefined)
      throw error
    }
  }

  /** @throws VestryError DEPLOYMENT_NOT_FOUND, INVALID_STATE_TRANSITION, and as {@link start} */
  async invoke(
    id: string,
    asked: Omit<AskedInvocation, 'trigger'>,
    agentName?: string,
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const { status } = await this.#deps.deployments.get(id, agentName)
    const live = this.#deps.deployments.live(id)
    if (live === undefined) throw servesNoMore(id, status)
    const startedMs = performance.now()
    const started = await this.start(live, { ...asked, trigger: `deployment:${id}` })
    const end = await inTime(started.ended, ANSWER_MS)
    const body = {
      execution_id: started.executionId,
      latency_ms: Math.round(performance.now() - startedMs),
    }
    if (end === undefined)
      return { status: 202, body: { status: 'running', output: null, ...body } }
    return { status: 200, body: { ...endBody(end), ...body } }
  }

  /** Its place is free when it has ended, whether somebody waits or not. Never rejects. */
  async #watch(live: Live, { executionId, ended }: StartedExecution): Promise<ExecutionEnd> {
    const { deployments, runs, cancel, warn } = this.#deps
    const { timeout_seconds: seconds } = live.deployment.config
    let isLate = false
    const timer =
      seconds === undefined
        ? undefined
        : setTimeout(() => {
            isLate = true
            cancel(executionId).catch((error: unknown) => warn(`${executionId}: ${String(error)}`))
          }, seconds * 1_000).unref()
    try {
      const end = await ended
      const told = isLate && end.status === 'failed' ? late(seconds ?? 0) : end
      await deployments
        .ran(live, told.status === 'failed' ? told.error : undefined)
        .catch((error: unknown) => warn(`deployment ${live.deployment.id}: ${String(error)}`))
      return told
    } finally {
      clearTimeout(timer)
      // Where it is not done, the end of the execution frees the place.
      await runs.giveBack(executionId).catch(() => undefined)
    }
  }
}

export function endBody(end: ExecutionEnd): Record<string, unknown> {
  if (end.status === 'completed') return { status: 'completed', output: end.output ?? null }
  return { status: 'failed', output: null, error: end.error }
}

/** undefined when the time is over first; the work goes on. */
export async function inTime<T>(work: Promise<T>, ms = ANSWER_MS): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  return Promise.race([work, over]).finally(() => clearTimeout(timer))
}

function askOf({ deployment, version }: Live, asked: AskedInvocation): ProgramAsk {
  return {
    deploymentId: deployment.id,
    config: deployment.config,
    ...(version !== undefined && { version: version.version }),
    ...(asked.actions !== undefined && { actions: asked.actions }),
    ...(asked.inbound !== undefined && { inbound: asked.inbound }),
  }
}

function late(seconds: number): ExecutionEnd {
  const message = `It took longer than the ${seconds} s of its deployment`
  return { status: 'failed', error: { code: 'DEADLINE_EXCEEDED', message } }
}

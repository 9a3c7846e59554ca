/** Runs workflows that the journal hands out: walks their steps, puts them down while they wait, and keeps their end. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { perform, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Operator } from '../../identity/operator.ts'
import type { Held } from '../../journal/held.ts'
import type { Journal } from '../../journal/journal.ts'
import type { Steps } from '../../journal/step.ts'
import { openSteps, type StepsDeps } from '../../journal/steps.ts'
import { WORKFLOW_RUN } from '../../policy/actions.ts'
import { checkedParams, type Definition } from './definition.ts'
import { walk } from './engine.ts'
import { LiveRun } from './live-run.ts'
import { Places } from './places.ts'
import { type EndStatus, errorOf, hasEnded, type RunContent, type WorkflowRun } from './run.ts'
import { recordedStep, recordRunEnd, runTrace } from './run-records.ts'
import type { RunStore } from './run-store.ts'
import { type BodyDeps, type RunContext, stepBody, stepCaller } from './step-bodies.ts'
import { plain } from './step-values.ts'
import { came } from './waits.ts'
import type { StepCall, Walked } from './walk.ts'

export interface RunWorkerDeps {
  readonly stations: Stations
  readonly journal: Pick<Journal, 'wake'>
  readonly steps: StepsDeps
  readonly runs: RunStore
  readonly bodies: BodyDeps
  readonly agents: { byId(id: string): Promise<Agent | undefined> }
  /** Undefined for those who may not act any more. */
  readonly operators: { standing(operator: Operator): Promise<Operator | undefined> }
  /** @throws VestryError WORKFLOW_NOT_FOUND */
  readonly definition: (id: string) => Promise<Definition>
  /** Of runs whose definition names none. */
  readonly timeoutSeconds: number
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

export interface Accepted {
  readonly run: WorkflowRun
  readonly content: RunContent
}

type Ending = { readonly status: EndStatus; readonly content: RunContent }

/** A decision whose teller died before it told is found by then. */
const LOOK_AGAIN_MS = 600_000
const NOTHING = new Uint8Array()
/** Bodies of steps at once, of one run. */
const STEP_PLACES = 16
/** Runs that are remembered from their start on, so that nothing has to be read and opened for them. */
const MAX_REMEMBERED = 1_000
const LONGEST_TIMER_MS = 2_147_483_647

export class RunWorker {
  readonly #deps: RunWorkerDeps
  readonly #live = new Map<string, LiveRun>()
  readonly #accepted = new Map<string, Accepted>()

  constructor(deps: RunWorkerDeps) {
    this.#deps = deps
  }

  live(id: string): LiveRun | undefined {
    return this.#live.get(id)
  }

  /** It was stored just now, and will perhaps be run here. */
  remember(accepted: Accepted): void {
    if (this.#accepted.size < MAX_REMEMBERED) this.#accepted.set(accepted.run.id, accepted)
  }

  /** @param id Absent: none stays in memory. */
  forget(id?: string): void {
    if (id === undefined) this.#accepted.clear()
    else this.#accepted.delete(id)
  }

  async run(held: Held, signal: AbortSignal): Promise<void> {
    const { id, startedAtMs: startedAt } = held
    const accepted = await this.#taken(held)
    if (accepted === undefined) {
      await held.finish(NOTHING)
      return
    }
    const live = new LiveRun(startedAt)
    this.#live.set(id, live)
    const run = { ...accepted.run, startedAt }
    const steps = await openSteps(this.#deps.steps, held)
    const waits = new Map<string, Omit<StepCall, 'signal'>>()
    try {
      const ending = await this.#ended(run, accepted.content, { live, steps, waits, signal })
      if ('untilMs' in ending) {
        await steps.flush()
        await held.park(ending.untilMs)
        if (live.poked || (await this.#hasCome(run, accepted.content, waits)))
          await this.#deps.journal.wake(id)
        return
      }
      await recordRunEnd(this.#deps.stations, run, ending.status, ending.content)
      await held.finish(NOTHING, this.#deps.runs.ending(run, ending.status, ending.content))
    } finally {
      steps.close()
      this.#live.delete(id)
      live.tell()
    }
  }

  /** @returns undefined for what has ended, or is gone. */
  async #taken({ id, attempt }: Held): Promise<Accepted | undefined> {
    const accepted = this.#accepted.get(id)
    this.#accepted.delete(id)
    if (accepted !== undefined && attempt === 1) return accepted
    const { runs } = this.#deps
    const [run, content] = [await runs.get(id), await runs.content(id)]
    return run === undefined || content === undefined || hasEnded(run)
      ? undefined
      : { run, content }
  }

  /** Something came between the look and the parking, perhaps to another node. */
  async #hasCome(
    run: WorkflowRun,
    content: RunContent,
    waits: ReadonlyMap<string, Omit<StepCall, 'signal'>>,
  ): Promise<boolean> {
    const context = await this.#context(run, content)
    for (const call of waits.values()) {
      // A no is an answer, too.
      const found = await came(this.#deps.bodies, context, call).catch(() => true)
      if (found !== undefined) return true
    }
    return false
  }

  async #ended(run: WorkflowRun, content: RunContent, at: Walking): Promise<Ending | Parked> {
    const { now, warn, timeoutSeconds } = this.#deps
    const { live, signal: outer } = at
    const limitMs = (content.definition?.timeout_seconds ?? timeoutSeconds) * 1_000
    const late = new AbortController()
    const words = new VestryError('DEADLINE_EXCEEDED', 'The run took longer than it may')
    const leftMs = run.createdAt + limitMs - now()
    const timer = setTimeout(() => late.abort(words), between(0, leftMs, LONGEST_TIMER_MS))
    const signal = AbortSignal.any([outer, late.signal])
    const told = (status: EndStatus, more: Partial<RunContent>): Ending => ({
      status,
      content: { ...content, ...more, steps: live.views },
    })
    try {
      if (leftMs <= 0) throw words
      const walked = await this.#walked(run, content, { ...at, signal })
      if (walked.state === 'waiting')
        return { untilMs: Math.min(walked.untilMs, run.createdAt + limitMs, now() + LOOK_AGAIN_MS) }
      if (walked.state === 'done') return told('completed', { result: walked.outputs })
      return told('failed', { error: errorOf(walked.error, walked.step) })
    } catch (thrown) {
      const error = asVestryError(signal.aborted ? signal.reason : thrown)
      if (error.code === 'SHUTTING_DOWN' || error.code === 'CONFLICT') throw error
      if (error.code === 'INTERNAL_ERROR')
        warn(`workflow run ${run.id} failed: ${thrown instanceof Error ? thrown.stack : ''}`)
      if (error === words) return told('timeout', { error: errorOf(error) })
      return told(error.code === 'CANCELLED' ? 'cancelled' : 'failed', { error: errorOf(error) })
    } finally {
      clearTimeout(timer)
    }
  }

  async #walked(run: WorkflowRun, content: RunContent, at: Walking): Promise<Walked> {
    const { live, steps, waits, signal } = at
    const context = await this.#context(run, content)
    const { definition } = content
    if (definition === undefined) return this.#program(context, content, steps, signal)
    const { bodies, stations, now } = this.#deps
    return walk(
      {
        steps,
        body: async (call) => {
          // It may have been revoked since the run began.
          const { caller } = await this.#context(run, content)
          return recordedStep(stations, { ...context, caller }, call, (below) =>
            stepBody(bodies, context, call, below),
          )
        },
        came: async (call) => {
          const found = await came(bodies, context, call)
          if (found === undefined) waits.set(call.key, call)
          return found
        },
        child: (id, params, key) => this.#child(context, id, params, key),
        onStep: (view) => live.onStep(view),
        signal,
        now,
        places: new Places(STEP_PLACES),
      },
      definition,
      content.params,
    )
  }

  /** DSL instead of a definition: one step, which is not done twice. */
  async #program(
    context: RunContext,
    { source = '', params }: RunContent,
    steps: Steps,
    signal: AbortSignal,
  ): Promise<Walked> {
    const timeoutMs = this.#deps.timeoutSeconds * 1_000
    const given = { source, input: params }
    const call = { kind: 'dsl_action', key: 'program', given, signal, timeoutMs } as const
    const output = await steps.run({ ...call, repeatable: false }, async () =>
      plain(await stepBody(this.#deps.bodies, context, call, stepCaller(context))),
    )
    return { state: 'done', outputs: isRecord(output) ? output : { output } }
  }

  /** A subworkflow is decided as one that is started, in the name and with the labels of the run. */
  async #child(
    context: RunContext,
    id: string,
    params: Readonly<Record<string, unknown>>,
    step: string,
  ): Promise<{ readonly definition: Definition; readonly params: unknown }> {
    const { stations, now } = this.#deps
    let definition: Definition | undefined
    return perform(stations, {
      caller: stepCaller(context),
      requestId: newRequestId(),
      action: WORKFLOW_RUN,
      event: 'workflow.start',
      source: 'runtime',
      resource: { kind: 'workflow', id },
      context: { nowMs: now(), transport: context.caller.peer.transport },
      data: { workflow: id, execution: context.id, step },
      exists: async () => {
        definition = await this.#deps.definition(id)
      },
      settle: async () => {
        const found = definition ?? (await this.#deps.definition(id))
        return { effect: () => ({ definition: found, params: checkedParams(found, params) }) }
      },
    })
  }

  /** Whose run it is, as they are now. @throws VestryError AGENT_INACTIVE, ACCESS_DENIED */
  async #context(run: WorkflowRun, { operator, holds }: RunContent): Promise<RunContext> {
    const { agentId, id, workflowId } = run
    const principal =
      agentId !== undefined ? await this.#agent(agentId) : await this.#operator(operator)
    const caller: Caller = {
      principal,
      peer: { transport: 'unix' },
      txn: id,
      trace: runTrace(run),
      ...(holds !== undefined && { holds }),
    }
    return { id, workflowId, caller }
  }

  async #agent(id: string): Promise<Caller['principal']> {
    const agent = await this.#deps.agents.byId(id)
    if (agent?.status !== 'enabled') throw new VestryError('AGENT_INACTIVE')
    return { kind: 'agent', agent }
  }

  async #operator(known: RunContent['operator']): Promise<Caller['principal']> {
    if (known === undefined) throw new VestryError('STORE_CORRUPT', 'The run belongs to nobody')
    const operator = await this.#deps.operators.standing(known)
    if (operator === undefined)
      throw new VestryError('ACCESS_DENIED', 'The operator who started the run was revoked')
    return { kind: 'operator', operator }
  }
}

interface Parked {
  readonly untilMs: number
}

interface Walking {
  readonly live: LiveRun
  readonly steps: Steps
  /** What was looked for and had not come. */
  readonly waits: Map<string, Omit<StepCall, 'signal'>>
  readonly signal: AbortSignal
}

function between(least: number, value: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

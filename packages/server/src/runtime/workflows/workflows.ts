/** Workflows: started under policy, run by the journal's workers, put down while they wait, and told of. */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId, newTimeOrderedId } from '@vestry/contract/ids'
import { perform, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import { actorOf, type Caller, newCaller } from '../../identity/caller.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { hasEnded as workHasEnded } from '../../journal/execution.ts'
import type { Held } from '../../journal/held.ts'
import type { Journal } from '../../journal/journal.ts'
import { openSteps, type StepsDeps } from '../../journal/steps.ts'
import { WORKFLOW_RUN } from '../../policy/actions.ts'
import { builtinDefinition } from './builtin.ts'
import { checkedParams, type Definition } from './definition.ts'
import { noSuchWorkflow, type WorkflowDefinitions } from './definition-store.ts'
import { Places, plain, type StepView, type Walked, walk } from './engine.ts'
import { type EndStatus, errorOf, hasEnded, type RunContent, type WorkflowRun } from './run.ts'
import type { RunFilter, RunStore } from './run-store.ts'
import { type BodyDeps, came, type RunContext, stepBody, stepCaller } from './step-bodies.ts'
import type {
  AskedWorkflow,
  StartedWorkflow,
  WorkflowEnd,
  WorkflowStarter,
} from './workflow-starter.ts'

export interface WorkflowsDeps {
  readonly stations: Stations
  readonly journal: Journal
  readonly steps: StepsDeps
  readonly definitions: Pick<WorkflowDefinitions, 'get'>
  readonly runs: RunStore
  readonly bodies: BodyDeps
  readonly agents: { byId(id: string): Promise<Agent | undefined> }
  readonly settings: { readonly concurrency: number; readonly queueMax: number }
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

const JOURNAL_KIND = 'workflow'
const JOURNAL_KEPT_MS = 3_600_000
const RUN_TIMEOUT_MS = 86_400_000
/** One that waits for what other nodes may be told is looked at this often. */
const LOOK_AGAIN_MS = 5_000
const NOTHING = new Uint8Array()
const NEVER = new AbortController().signal
/** Bodies of steps at once, of one run. */
const STEP_PLACES = 16

interface Live {
  readonly views: Map<string, StepView>
  readonly listeners: Set<() => void>
  readonly startedAt: number
  /** Something came while it ran. */
  poked: boolean
}

export class Workflows implements WorkflowStarter {
  readonly #deps: WorkflowsDeps
  readonly #live = new Map<string, Live>()
  #registered = false

  constructor(deps: WorkflowsDeps) {
    this.#deps = deps
  }

  /** The vault is open. */
  async open(): Promise<void> {
    if (!this.#registered) {
      this.#registered = true
      const { concurrency, queueMax } = this.#deps.settings
      this.#deps.journal.register(JOURNAL_KIND, {
        concurrency,
        queueMax,
        cancellable: true,
        run: (held, signal) => this.#run(held, signal),
      })
    }
    await this.settle()
  }

  async start(asked: AskedWorkflow): Promise<StartedWorkflow> {
    const { stations, now } = this.#deps
    const { caller, workflowId, trigger } = asked
    const { principal } = caller
    const isSource = /[{\n]/.test(workflowId)
    // What is recorded and asked about has a name that is not the program itself.
    const name = isSource ? `dsl:${hash('sha256', workflowId).slice(0, 16)}` : workflowId
    const nowMs = now()
    const id =
      asked.key === undefined
        ? newTimeOrderedId('exe', nowMs)
        : `exe_${hash('sha256', `workflow ${asked.key}`).slice(0, 40)}`
    let definition: Definition | undefined
    let params = asked.params
    const accepted = await perform<string>(stations, {
      caller: { ...caller, trace: caller.trace },
      requestId: asked.requestId,
      action: WORKFLOW_RUN,
      event: 'workflow.start',
      source: 'runtime',
      resource: { kind: 'workflow', id: name },
      context: {
        nowMs,
        transport: caller.peer.transport,
        ...(caller.peer.address !== undefined && { sourceIp: caller.peer.address }),
        requestBytes: Buffer.byteLength(JSON.stringify(asked.params)),
      },
      detail: `workflow.start ${name}`,
      data: { workflow: name, execution: id, trigger },
      approvalParams: { workflow: name, params: hash('sha256', canonicalJson(asked.params)) },
      exists: async () => {
        if (isSource) return
        definition = await this.definition(workflowId)
        params = checkedParams(definition, asked.params)
      },
      settle: () => ({
        effect: async () => {
          // What who asks has read, may stand in the parameters.
          await stations.taint.inherit(caller.txn, id)
          await this.#accept(
            {
              id,
              workflowId: name,
              agentId: principal.kind === 'agent' ? principal.agent.id : undefined,
              status: 'pending',
              trigger,
              facts: {
                actor: actorOf(principal),
                requestId: asked.requestId,
                traceparent: formatTraceparent(caller.trace),
              },
              createdAt: nowMs,
              startedAt: undefined,
              finishedAt: undefined,
            },
            {
              definition,
              params,
              ...(isSource && { source: workflowId }),
              ...(principal.kind === 'operator'
                ? { operator: principal.operator }
                : { agentName: principal.agent.name }),
              ...(caller.holds !== undefined && { holds: caller.holds }),
            },
          )
          return id
        },
      }),
    })
    return { executionId: accepted, ended: this.#endOf(accepted, caller.txn) }
  }

  /** @throws VestryError WORKFLOW_NOT_FOUND */
  async definition(id: string): Promise<Definition> {
    const found = builtinDefinition(id) ?? (await this.#deps.definitions.get(id))?.definition
    if (found === undefined) throw noSuchWorkflow(id)
    return found
  }

  async get(id: string): Promise<WorkflowRun | undefined> {
    const run = await this.#deps.runs.get(id)
    if (run === undefined || hasEnded(run)) return run
    const live = this.#live.get(id)
    if (live !== undefined) return { ...run, status: 'running', startedAt: live.startedAt }
    const work = await this.#deps.journal.get(id)
    if (work?.startedAtMs === undefined) return run
    return { ...run, status: 'running', startedAt: work.startedAtMs }
  }

  content(id: string): Promise<RunContent | undefined> {
    return this.#deps.runs.content(id)
  }

  list(filter: RunFilter): Promise<WorkflowRun[]> {
    return this.#deps.runs.list(filter)
  }

  /** Of one that runs here, or has ended. */
  async steps(id: string, content: RunContent | undefined): Promise<readonly StepView[]> {
    const live = this.#live.get(id)
    return live === undefined ? (content?.steps ?? []) : [...live.views.values()]
  }

  /** Resolves at its end. @throws the signal's reason */
  async ended(id: string, signal: AbortSignal): Promise<WorkflowRun> {
    const { journal, runs } = this.#deps
    const before = await runs.get(id)
    if (before === undefined) throw noSuchRun(id)
    if (!hasEnded(before)) {
      await journal.wait(id, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        if (asVestryError(error).code !== 'JOB_NOT_FOUND') throw error
      })
      await this.#settle(id)
    }
    const run = await runs.get(id)
    if (run === undefined) throw noSuchRun(id)
    return run
  }

  /** Waits until something has happened to it, or the time is up. */
  async moved(id: string, ms: number, signal: AbortSignal): Promise<void> {
    const live = this.#live.get(id)
    const own = new AbortController()
    const late = setTimeout(() => own.abort(), live === undefined ? Math.min(ms, 250) : ms)
    const { promise, resolve } = Promise.withResolvers<void>()
    live?.listeners.add(resolve)
    const both = AbortSignal.any([signal, own.signal])
    both.addEventListener('abort', () => resolve(), { once: true })
    try {
      await Promise.race([promise, this.ended(id, both).catch(() => undefined)])
    } finally {
      clearTimeout(late)
      live?.listeners.delete(resolve)
      own.abort()
    }
  }

  /** @returns false where it had ended. */
  async cancel(run: WorkflowRun): Promise<boolean> {
    if (hasEnded(run)) return false
    const { journal } = this.#deps
    await journal.cancel(run.id)
    await this.ended(run.id, AbortSignal.timeout(5_000)).catch(() => undefined)
    await this.#settle(run.id)
    return true
  }

  /** @throws VestryError INVALID_STATE_TRANSITION, ALREADY_EXISTS, REQUEST_TOO_LARGE */
  async signal(run: WorkflowRun, name: string, value: unknown): Promise<void> {
    if (hasEnded(run)) throw new VestryError('INVALID_STATE_TRANSITION', 'The run has ended')
    if (Buffer.byteLength(JSON.stringify(value ?? null)) > 65_536)
      throw new VestryError('REQUEST_TOO_LARGE', 'A signal carries at most 65536 bytes')
    if (!(await this.#deps.runs.signal(run.id, name, value)))
      throw new VestryError('ALREADY_EXISTS', `The run has got "${name}" already`)
    await this.poke(run.id)
  }

  /** Something came that a run may wait for. */
  async poke(id: string): Promise<void> {
    const live = this.#live.get(id)
    if (live !== undefined) live.poked = true
    await this.#deps.journal.wake(id)
  }

  /** An operator has decided: those that wait look whether it is theirs. */
  async pokeAll(): Promise<void> {
    for (const { id } of await this.#deps.runs.open()) await this.poke(id)
  }

  /** Tells what nobody works on any more as failed. */
  async settle(): Promise<void> {
    for (const { id, createdAt } of await this.#deps.runs.open())
      if (this.#deps.now() - createdAt > 60_000) await this.#settle(id)
  }

  prune(): Promise<void> {
    return this.#deps.runs.prune()
  }

  async #accept(run: WorkflowRun, content: RunContent): Promise<void> {
    const { runs, journal } = this.#deps
    const reserve = () =>
      journal.reserve({
        id: run.id,
        kind: JOURNAL_KIND,
        agentId: run.agentId ?? '',
        subject: 'workflow:run',
        mode: 'queued',
        // What of it may not happen twice its steps know.
        repeatable: true,
        retainMs: JOURNAL_KEPT_MS,
      })
    const known = await runs.get(run.id)
    if (known === undefined) await runs.add(run, content)
    else if (hasEnded(known) || (await journal.get(run.id)) !== undefined) return
    try {
      await reserve()
    } catch (error) {
      await runs.drop(run.id).catch(() => undefined) // else it is told as interrupted
      throw error
    }
  }

  async #endOf(id: string, txn: string): Promise<WorkflowEnd> {
    try {
      const run = await this.ended(id, NEVER)
      const content = await this.#deps.runs.content(id)
      await this.#deps.stations.taint.inherit(id, txn)
      const { error = run.facts.error } = content ?? {}
      return {
        executionId: id,
        status: run.status as EndStatus, // it has ended
        result: run.status === 'completed' ? (content?.result ?? {}) : null,
        ...(error !== undefined && { error: { message: '', ...error } }),
      }
    } catch (error) {
      return {
        executionId: id,
        status: 'failed',
        result: null,
        error: errorOf(asVestryError(error)),
      }
    }
  }

  /** The journal has given it up, or never had it: then so do we. */
  async #settle(id: string): Promise<void> {
    const { runs, journal } = this.#deps
    const run = await runs.get(id)
    if (run === undefined || hasEnded(run) || this.#live.has(id)) return
    const work = await journal.get(id)
    if (work !== undefined && !workHasEnded(work)) return
    const code = work?.errorCode ?? 'INTERRUPTED'
    const content = (await runs.content(id)) ?? { definition: undefined, params: {} }
    const error = errorOf(new VestryError(code))
    await runs.end(run, code === 'CANCELLED' ? 'cancelled' : 'failed', { ...content, error })
  }

  async #run(held: Held, signal: AbortSignal): Promise<void> {
    const { runs, now } = this.#deps
    const run = await runs.get(held.id)
    const content = await runs.content(held.id)
    if (run === undefined || content === undefined || hasEnded(run)) {
      await held.finish(NOTHING)
      return
    }
    const startedAt = (await this.#deps.journal.get(held.id))?.startedAtMs ?? now()
    const live: Live = { views: new Map(), listeners: new Set(), startedAt, poked: false }
    this.#live.set(held.id, live)
    const steps = await openSteps(this.#deps.steps, held)
    const begun = { ...run, startedAt }
    let over = true
    try {
      const ending = await this.#worked(begun, content, live, steps, signal)
      if ('untilMs' in ending) {
        over = false
        await steps.flush()
        await held.park(Math.min(ending.untilMs, now() + LOOK_AGAIN_MS))
        if (live.poked) await this.#deps.journal.wake(held.id)
        return
      }
      await runs.end(begun, ending.status, ending.content)
      await this.#recordEnd(begun, content, ending.status, ending.content)
      await held.finish(NOTHING)
    } finally {
      steps.close()
      this.#live.delete(held.id)
      if (over) for (const listener of live.listeners) listener()
    }
  }

  async #worked(
    run: WorkflowRun,
    content: RunContent,
    live: Live,
    steps: Awaited<ReturnType<typeof openSteps>>,
    outer: AbortSignal,
  ): Promise<{ status: EndStatus; content: RunContent } | { untilMs: number }> {
    const late = new AbortController()
    const limitMs =
      content.definition?.timeout_seconds === undefined
        ? RUN_TIMEOUT_MS * 30
        : content.definition.timeout_seconds * 1_000
    const leftMs = run.createdAt + limitMs - this.#deps.now()
    const words = new VestryError('DEADLINE_EXCEEDED', 'The run took longer than it may')
    const timer = setTimeout(() => late.abort(words), Math.min(Math.max(leftMs, 0), 2_147_483_647))
    const signal = AbortSignal.any([outer, late.signal])
    const told = (status: EndStatus, more: Partial<RunContent>) => ({
      status,
      content: { ...content, ...more, steps: [...live.views.values()] },
    })
    try {
      const walked = await this.#walked(run, content, live, steps, signal)
      if (walked.state === 'waiting')
        return { untilMs: Math.min(walked.untilMs, run.createdAt + limitMs) }
      if (walked.state === 'done') return told('completed', { result: walked.outputs })
      return told('failed', { error: errorOf(walked.error, walked.step) })
    } catch (thrown) {
      const error = asVestryError(signal.aborted ? signal.reason : thrown)
      if (error.code === 'SHUTTING_DOWN' || error.code === 'CONFLICT') throw error
      if (error.code === 'INTERNAL_ERROR')
        this.#deps.warn(
          `workflow run ${run.id} failed: ${thrown instanceof Error ? thrown.stack : ''}`,
        )
      if (late.signal.aborted) return told('timeout', { error: errorOf(error) })
      return told(error.code === 'CANCELLED' ? 'cancelled' : 'failed', { error: errorOf(error) })
    } finally {
      clearTimeout(timer)
    }
  }

  async #walked(
    run: WorkflowRun,
    content: RunContent,
    live: Live,
    steps: Awaited<ReturnType<typeof openSteps>>,
    signal: AbortSignal,
  ): Promise<Walked> {
    const context = await this.#context(run, content)
    const { bodies, stations, now } = this.#deps
    const { definition, source } = content
    if (definition === undefined) {
      const given = { source: source ?? '', input: content.params }
      const call = {
        kind: 'dsl_action' as const,
        key: 'program',
        given,
        signal,
        timeoutMs: RUN_TIMEOUT_MS,
      }
      const output = await steps.run(
        { key: 'program', kind: 'dsl_action', repeatable: false },
        async () => plain(await stepBody(bodies, context, call, stepCaller(context))),
      )
      return { state: 'done', outputs: isRecord(output) ? output : { output } }
    }
    return walk(
      {
        steps,
        body: (call) => this.#stepped(context, call),
        came: (call) => came(bodies, context, call),
        child: async (id, params, key) => {
          const child = await this.definition(id)
          return perform(stations, {
            caller: stepCaller(context),
            requestId: newRequestId(),
            action: WORKFLOW_RUN,
            event: 'workflow.start',
            source: 'runtime',
            resource: { kind: 'workflow', id },
            context: { nowMs: now(), transport: context.caller.peer.transport },
            data: { workflow: id, execution: run.id, step: key },
            settle: () => ({
              effect: () => ({ definition: child, params: checkedParams(child, params) }),
            }),
          })
        },
        onStep: (view) => {
          live.views.set(view.id, view)
          for (const listener of live.listeners) listener()
        },
        signal,
        now,
        places: new Places(STEP_PLACES),
      },
      definition,
      content.params,
    )
  }

  /** A record of each step, with its own span, around the records of what it does. */
  async #stepped(context: RunContext, call: Parameters<typeof stepBody>[2]): Promise<unknown> {
    const { stations, bodies } = this.#deps
    const caller = stepCaller(context)
    const startedMs = stations.now()
    let code = 'OK'
    try {
      return await stepBody(bodies, context, call, stepCaller({ ...context, caller }))
    } catch (error) {
      code = asVestryError(error).code
      throw error
    } finally {
      const { principal, trace, txn } = caller
      await stations.audit.append(
        {
          action: 'workflow.step',
          phase: 'single',
          detail: `workflow.step ${call.key}`,
          success: code === 'OK',
          actor: actorOf(principal),
          source: 'runtime',
          ...(principal.kind === 'agent' && { agent: principal.agent.name }),
          txn,
          span: {
            trace_id: trace.traceId,
            span_id: trace.spanId,
            parent_span_id: trace.parentSpanId,
          },
          data: {
            workflow: context.workflowId,
            execution: context.id,
            step: call.key,
            kind: call.kind,
          },
          outcome: { code, duration_ms: stations.now() - startedMs },
        },
        'written',
      )
    }
  }

  async #recordEnd(
    run: WorkflowRun,
    before: RunContent,
    status: EndStatus,
    { error, steps = [] }: RunContent,
  ): Promise<void> {
    const { stations, now } = this.#deps
    await stations.audit.append(
      {
        action: 'workflow.end',
        phase: 'single',
        detail: `workflow.end ${run.workflowId}`,
        success: status === 'completed',
        actor: run.facts.actor,
        source: 'runtime',
        ...(before.agentName !== undefined && { agent: before.agentName }),
        txn: run.id,
        data: {
          workflow: run.workflowId,
          execution: run.id,
          status,
          steps: steps.length,
          ...(error?.step !== undefined && { step: error.step }),
        },
        outcome: {
          code: error?.code ?? 'OK',
          duration_ms: now() - (run.startedAt ?? run.createdAt),
        },
      },
      'written',
    )
  }

  /** @throws VestryError AGENT_INACTIVE */
  async #context(run: WorkflowRun, content: RunContent): Promise<RunContext> {
    const { agentId } = run
    const agent = agentId === undefined ? undefined : await this.#deps.agents.byId(agentId)
    if (agentId !== undefined && agent?.status !== 'enabled')
      throw new VestryError('AGENT_INACTIVE')
    const { operator, holds } = content
    const principal: Caller['principal'] | undefined =
      agent === undefined ? operator && { kind: 'operator', operator } : { kind: 'agent', agent }
    if (principal === undefined) throw new VestryError('STORE_CORRUPT', 'The run belongs to nobody')
    const from = {
      principal,
      peer: { transport: 'unix' as const },
      txn: run.id,
      ...(holds !== undefined && { holds }),
    }
    return {
      id: run.id,
      workflowId: run.workflowId,
      caller: newCaller(from, run.facts.traceparent),
    }
  }
}

export function noSuchRun(id: string): VestryError {
  return new VestryError('JOB_NOT_FOUND', `There is no execution "${id.slice(0, 64)}"`)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

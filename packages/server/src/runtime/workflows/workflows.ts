/** Workflows: started under policy, looked at, told things, ended, and kept. */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { perform } from '../../call/perform.ts'
import { hasEnded as workHasEnded } from '../../journal/execution.ts'
import type { Journal } from '../../journal/journal.ts'
import { WORKFLOW_RUN } from '../../policy/actions.ts'
import { factsOf, ownerOf, runOf } from './asked-run.ts'
import { builtinDefinition } from './builtin.ts'
import { checkedParams, type Definition } from './definition.ts'
import { noSuchWorkflow, type WorkflowDefinitions } from './definition-store.ts'
import { type EndStatus, errorOf, hasEnded, type RunContent, type WorkflowRun } from './run.ts'
import type { RunFilter } from './run-store.ts'
import { RunWorker, type RunWorkerDeps } from './run-worker.ts'
import { storedViews } from './stored-views.ts'
import type { StepView } from './walk.ts'
import type {
  AskedWorkflow,
  StartedWorkflow,
  WorkflowEnd,
  WorkflowStarter,
} from './workflow-starter.ts'

export interface WorkflowsDeps extends Omit<RunWorkerDeps, 'definition' | 'journal'> {
  readonly journal: Journal
  readonly definitions: Pick<WorkflowDefinitions, 'get'>
  readonly settings: {
    readonly concurrency: number
    readonly queueMax: number
    /** Runs that have not ended. */
    readonly openMax: number
  }
}

const JOURNAL_KIND = 'workflow'
const JOURNAL_KEPT_MS = 3_600_000
/** How old the count of open runs may be. */
const COUNTED_MS = 1_000
const NEVER = new AbortController().signal
const MAX_SIGNAL_BYTES = 65_536

export class Workflows implements WorkflowStarter {
  readonly #deps: WorkflowsDeps
  readonly #worker: RunWorker
  readonly #open = { count: 0, atMs: Number.NEGATIVE_INFINITY }
  #registered = false

  constructor(deps: WorkflowsDeps) {
    this.#deps = deps
    this.#worker = new RunWorker({ ...deps, definition: (id) => this.definition(id) })
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
        run: (held, signal) => this.#worker.run(held, signal),
      })
    }
    await this.settle()
  }

  close(): void {
    this.#worker.forget()
  }

  async start(asked: AskedWorkflow): Promise<StartedWorkflow> {
    const { stations, now } = this.#deps
    const { caller, workflowId, params: given } = asked
    const isSource = /[{\n]/.test(workflowId)
    // What is recorded and asked about has a name that is not the program itself.
    const name = isSource ? `dsl:${hash('sha256', workflowId).slice(0, 16)}` : workflowId
    const nowMs = now()
    const id =
      asked.key === undefined
        ? newTimeOrderedId('exe', nowMs)
        : `exe_${hash('sha256', `workflow ${asked.key}`).slice(0, 40)}`
    const facts = factsOf(asked)
    let definition: Definition | undefined
    let params = given
    await perform<void>(stations, {
      caller,
      requestId: asked.requestId,
      action: WORKFLOW_RUN,
      event: 'workflow.start',
      source: 'runtime',
      resource: { kind: 'workflow', id: name },
      context: {
        nowMs,
        transport: caller.peer.transport,
        ...(caller.peer.address !== undefined && { sourceIp: caller.peer.address }),
        requestBytes: Buffer.byteLength(JSON.stringify(given)),
      },
      detail: `workflow.start ${name}`,
      data: {
        workflow: name,
        execution: id,
        trigger: asked.trigger,
        ...(asked.as !== undefined && { agent: asked.as.name }),
      },
      approvalParams: { workflow: name, params: hash('sha256', canonicalJson(given)) },
      exists: async () => {
        if (isSource) return
        definition = await this.definition(workflowId)
        params = checkedParams(definition, given)
      },
      settle: () => ({
        effect: async () => {
          const known = asked.key === undefined ? undefined : await this.#known(id, facts.asked)
          if (known) return
          // What who asks has read, may stand in the parameters.
          await stations.taint.inherit(caller.txn, id)
          const content = { definition, params, ...(isSource && { source: workflowId }) }
          await this.#accept(runOf(asked, { id, name, nowMs, facts }), {
            ...content,
            ...ownerOf(asked),
          })
        },
      }),
    })
    return { executionId: id, ended: this.#endOf(id, caller.txn) }
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
    const live = this.#worker.live(id)
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

  async steps(id: string, content: RunContent | undefined): Promise<readonly StepView[]> {
    const live = this.#worker.live(id)
    if (live !== undefined) return live.views
    return content?.steps ?? storedViews(this.#deps.steps, id)
  }

  /** What is told of a run is what it has read: whoever looks at it has read that, too. */
  told(id: string, txn: string): Promise<void> {
    return this.#deps.stations.taint.inherit(id, txn)
  }

  /** Resolves at its end. @throws the signal's reason */
  async ended(id: string, signal: AbortSignal): Promise<WorkflowRun> {
    const { journal, runs } = this.#deps
    const before = await runs.get(id)
    if (before === undefined) throw noSuchRun(id)
    if (hasEnded(before)) return before
    await journal.wait(id, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      if (asVestryError(error).code !== 'JOB_NOT_FOUND') throw error
    })
    await this.#settle(id)
    const run = await runs.get(id)
    if (run === undefined) throw noSuchRun(id)
    return run
  }

  /** Waits until something has happened to it, or the time is up. */
  async moved(id: string, ms: number, signal: AbortSignal): Promise<void> {
    const live = this.#worker.live(id)
    const own = new AbortController()
    const late = setTimeout(() => own.abort(), live === undefined ? Math.min(ms, 250) : ms)
    const { promise, resolve } = Promise.withResolvers<void>()
    const stop = live?.listen(resolve)
    const both = AbortSignal.any([signal, own.signal])
    both.addEventListener('abort', () => resolve(), { once: true })
    if (both.aborted) resolve()
    try {
      await Promise.race([promise, this.ended(id, both).catch(() => undefined)])
    } finally {
      clearTimeout(late)
      stop?.()
      own.abort()
    }
  }

  /** @returns false where it had ended. */
  async cancel(run: WorkflowRun): Promise<boolean> {
    if (hasEnded(run)) return false
    await this.#deps.journal.cancel(run.id)
    await this.ended(run.id, AbortSignal.timeout(5_000)).catch(() => undefined)
    await this.#settle(run.id)
    return true
  }

  /** @throws VestryError INVALID_STATE_TRANSITION, ALREADY_EXISTS, REQUEST_TOO_LARGE, QUEUE_FULL */
  async signal(run: WorkflowRun, name: string, value: unknown): Promise<void> {
    if (hasEnded(run)) throw new VestryError('INVALID_STATE_TRANSITION', 'The run has ended')
    if (Buffer.byteLength(JSON.stringify(value ?? null)) > MAX_SIGNAL_BYTES)
      throw new VestryError(
        'REQUEST_TOO_LARGE',
        `A signal carries at most ${MAX_SIGNAL_BYTES} bytes`,
      )
    if (!(await this.#deps.runs.signal(run.id, name, value)))
      throw new VestryError('ALREADY_EXISTS', `The run has got "${name}" already`)
    await this.poke(run.id)
  }

  /** Something came that a run may wait for. */
  async poke(id: string): Promise<void> {
    const live = this.#worker.live(id)
    if (live !== undefined) live.poked = true
    await this.#deps.journal.wake(id)
  }

  /** Tells what nobody works on any more as failed. */
  async settle(): Promise<void> {
    for (const id of await this.#deps.runs.abandoned()) await this.#settle(id)
  }

  prune(): Promise<void> {
    return this.#deps.runs.prune()
  }

  /** The run is there and has its place in the journal, or neither is. @throws VestryError QUEUE_FULL, CONFLICT */
  async #accept(run: WorkflowRun, content: RunContent): Promise<void> {
    const { runs, journal } = this.#deps
    await this.#assertRoom()
    const accepted = { run, content }
    const reservation = {
      id: run.id,
      kind: JOURNAL_KIND,
      agentId: run.agentId ?? '',
      subject: 'workflow:run',
      mode: 'queued',
      // What of it may not happen twice its steps know.
      repeatable: true,
      retainMs: JOURNAL_KEPT_MS,
    } as const
    this.#worker.remember(accepted)
    try {
      await journal.reserve(reservation, runs.adding(run, content))
    } catch (error) {
      this.#worker.forget(run.id)
      // Another start with the same key was faster.
      if (asVestryError(error).code !== 'CONFLICT') throw error
      if (!(await this.#known(run.id, run.facts.asked))) throw error
    }
  }

  /** @throws VestryError IDEMPOTENCY_CONFLICT where the key was used for something else. */
  async #known(id: string, asked: string | undefined): Promise<boolean> {
    const known = await this.#deps.runs.get(id)
    if (known === undefined) return false
    if (known.facts.asked === asked) return true
    throw new VestryError('IDEMPOTENCY_CONFLICT', 'The key belongs to a run that asked otherwise')
  }

  /** Roughly: what is started at the same time is counted a little later. */
  async #assertRoom(): Promise<void> {
    const { runs, now, settings } = this.#deps
    if (now() - this.#open.atMs > COUNTED_MS) {
      this.#open.atMs = now()
      this.#open.count = await runs.openCount()
    }
    if (this.#open.count >= settings.openMax)
      throw new VestryError('QUEUE_FULL', `${settings.openMax} runs of workflows are open`, {
        hint: 'End some: vestry workflow executions --status running',
      })
    this.#open.count += 1
  }

  async #endOf(id: string, txn: string): Promise<WorkflowEnd> {
    try {
      const run = await this.ended(id, NEVER)
      const content = await this.#deps.runs.content(id)
      await this.told(id, txn)
      const { error = run.facts.error } = content ?? {}
      return {
        executionId: id,
        status: run.status as EndStatus, // it has ended
        result: run.status === 'completed' ? (content?.result ?? {}) : null,
        ...(error !== undefined && { error: { message: '', ...error } }),
      }
    } catch (thrown) {
      const error = errorOf(asVestryError(thrown))
      return { executionId: id, status: 'failed', result: null, error }
    }
  }

  /** The journal has given it up, or never had it: then so do we. */
  async #settle(id: string): Promise<void> {
    const { runs, journal } = this.#deps
    const run = await runs.get(id)
    if (run === undefined || hasEnded(run) || this.#worker.live(id) !== undefined) return
    const work = await journal.get(id)
    if (work !== undefined && !workHasEnded(work)) return
    const code = work?.errorCode ?? 'INTERRUPTED'
    const content = (await runs.content(id)) ?? { definition: undefined, params: {} }
    const steps = await storedViews(this.#deps.steps, id)
    const error = errorOf(new VestryError(code))
    const status = code === 'CANCELLED' ? 'cancelled' : 'failed'
    await runs.end(run, status, { ...content, steps, error })
  }
}

export function noSuchRun(id: string): VestryError {
  return new VestryError('JOB_NOT_FOUND', `There is no execution "${id.slice(0, 64)}"`)
}

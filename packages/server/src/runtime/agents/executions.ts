/**
 * Executions of agents: accepted, kept, run a few at a time, waited for and stopped. The journal says which of them
 * somebody works on; what a dead process left behind is told as interrupted, and is never done twice.
 */
import { hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { perform, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import { actorOf, type Caller } from '../../identity/caller.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { hasEnded as workHasEnded } from '../../journal/execution.ts'
import type { Held } from '../../journal/held.ts'
import type { Journal } from '../../journal/journal.ts'
import { AGENT_RUN } from '../../policy/actions.ts'
import type { DefinitionStore } from './definition-store.ts'
import {
  type DefinitionOverrides,
  type Ending,
  type Execution,
  type ExecutionContent,
  endingOf,
  hasEnded,
  INTERRUPTED,
} from './execution.ts'
import type { ExecutionStore } from './execution-store.ts'
import type { Step } from './loop.ts'
import type { ProgramAsk } from './program-ask.ts'
import type { PinnedProgram, ProgramRunner, ProgramWork } from './program-runner.ts'
import { type Progress, ProgressBook } from './progress.ts'
import { agentResource, carryOut, type RunnerDeps, type Work } from './runner.ts'
import { workOff } from './work-off.ts'

export interface ExecutionsDeps {
  readonly stations: Stations
  readonly journal: Journal
  readonly agents: { byId(id: string): Promise<Agent | undefined> }
  readonly definitions: Pick<DefinitionStore, 'get'>
  readonly store: ExecutionStore
  readonly runner: RunnerDeps
  /** Of agents that are programs. Asked for at each use: it comes to be later. */
  readonly programs?: () => ProgramRunner | undefined
  readonly settings: {
    readonly agent_concurrency: number
    readonly agent_queue_max: number
    readonly agent_timeout_seconds: number
  }
  /** No other process uses this store. */
  readonly alone: boolean
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

export interface AskedExecution {
  readonly agent: Agent
  readonly input: string
  /** `api`, `cli`, `http_input:<id>` … */
  readonly trigger: string
  readonly caller: Caller
  readonly requestId: string
  /** Of an agent that is a program; of any other it means nothing. */
  readonly program?: ProgramAsk
  /** Minted by who asks, so that it is started once. @throws VestryError CONFLICT where there is one of this id. */
  readonly id?: string
  /** Named as the actor in place of the caller, which is the agent itself then. */
  readonly askedBy?: string
}

export interface Ended {
  readonly execution: Execution
  readonly content: ExecutionContent | undefined
}

const JOURNAL_KIND = 'agent'
/** Its row says all there is to say; the journal only has to remember that it was begun. */
const JOURNAL_KEPT_MS = 3_600_000
const MAX_INPUT_BYTES = 1_048_576
/**
 * Agents that ask agents wait for them while they hold a place, so each depth has places of its own: the deepest ones
 * wait for nobody, and so all come to an end.
 */
const MAX_DEPTH = 4
const NOTHING = new Uint8Array()
/** One that was accepted a moment ago may not be in the journal yet. */
const ACCEPTING_MS = 60_000

export class Executions {
  readonly #deps: ExecutionsDeps
  readonly #progress = new ProgressBook()
  #registered = false
  #opened = Promise.withResolvers<void>()

  constructor(deps: ExecutionsDeps) {
    this.#deps = deps
  }

  /** The vault is open, and so is everything that agents use. */
  async open(): Promise<void> {
    const { journal, settings, alone } = this.#deps
    await this.recover(alone ? 0 : ACCEPTING_MS)
    if (!this.#registered) {
      this.#registered = true
      for (let depth = 0; depth <= MAX_DEPTH; depth += 1) {
        journal.register(kindOf(depth), {
          concurrency: settings.agent_concurrency,
          queueMax: settings.agent_queue_max,
          cancellable: true,
          run: (held, signal) => this.#run(held, signal),
        })
      }
    }
    this.#opened.resolve()
  }

  /** Sealed: what the journal still begins waits for the next opening. */
  close(): void {
    this.#opened = Promise.withResolvers()
  }

  /**
   * Resolves once it is certain to be run, or to be told as interrupted.
   *
   * @throws VestryError ACCESS_DENIED, INVALID_STATE_TRANSITION, BODY_TOO_LARGE, QUEUE_FULL, SHUTTING_DOWN …
   */
  async start(asked: AskedExecution): Promise<Execution> {
    const { stations, definitions, store, now } = this.#deps
    const { agent, caller, trigger } = asked
    if (Buffer.byteLength(asked.input) > MAX_INPUT_BYTES)
      throw new VestryError('BODY_TOO_LARGE', `The input may take ${MAX_INPUT_BYTES} bytes`)
    const nowMs = now()
    const id = asked.id ?? newTimeOrderedId('exe', nowMs)
    const actor = asked.askedBy ?? actorOf(caller.principal)
    // What asks for it may be an execution itself, whose transaction has its id.
    const asking = await store.get(caller.txn)
    const depth = asking === undefined ? 0 : (asking.facts.depth ?? 0) + 1
    if (depth > MAX_DEPTH)
      throw new VestryError(
        'ITERATION_LIMIT',
        `Agents ask agents ${MAX_DEPTH} times over at most`,
        {
          hint: 'Let fewer agents stand between this one and the first',
        },
      )
    // What asks has read, this one is told of.
    await stations.taint.inherit(caller.txn, id)
    let program: PinnedProgram | undefined
    return perform<Execution>(stations, {
      caller: { ...caller, txn: id },
      requestId: asked.requestId,
      action: AGENT_RUN,
      event: 'agent.start',
      source: 'runtime',
      resource: agentResource(agent),
      context: {
        nowMs,
        transport: caller.peer.transport,
        ...(caller.peer.address !== undefined && { sourceIp: caller.peer.address }),
        requestBytes: Buffer.byteLength(asked.input),
      },
      detail: `agent.start ${agent.name}`,
      data: {
        agent: agent.name,
        execution: id,
        trigger,
        ...(asked.askedBy !== undefined && { asked_by: actor }),
      },
      approvalParams: { agent: agent.id, input: hash('sha256', asked.input, 'base64url') },
      exists: async () => {
        if (agent.status !== 'enabled') throw unable(agent, 'is disabled', 'Enable it first')
        if ((await definitions.get(agent.id)) === undefined)
          throw unable(
            agent,
            'has no definition: nobody said which model it uses',
            `Define it with PUT agents/${agent.name}`,
          )
        program = await this.#programOf(asked)
        await this.#assertShare(agent)
      },
      settle: () => ({
        effect: () =>
          this.#accept(
            {
              id,
              agentId: agent.id,
              status: 'pending',
              trigger,
              facts: {
                actor,
                requestId: asked.requestId,
                traceparent: formatTraceparent(caller.trace),
                ...(depth > 0 && { depth }),
                ...(program !== undefined && { programVersion: program.version }),
                ...(program?.deploymentId !== undefined && { deploymentId: program.deploymentId }),
              },
              createdAt: nowMs,
              startedAt: undefined,
              finishedAt: undefined,
            },
            {
              input: asked.input,
              ...(program === undefined ? overridesOf(asked.program) : { program }),
            },
          ),
      }),
    })
  }

  get(id: string): Promise<Execution | undefined> {
    return this.#deps.store.get(id)
  }

  /** Newest first. */
  history(agentId: string, limit: number): Promise<Execution[]> {
    return this.#deps.store.list(agentId, limit)
  }

  /** What the newest execution was asked. */
  async lastInput(agentId: string): Promise<string | undefined> {
    const [last] = await this.#deps.store.list(agentId, 1)
    return last && (await this.#deps.store.content(last.id))?.input
  }

  content(id: string): Promise<ExecutionContent | undefined> {
    return this.#deps.store.content(id)
  }

  /** Of one that runs here; undefined for any other. */
  steps(id: string): readonly Step[] | undefined {
    return this.#progress.steps(id)
  }

  /** Resolves at its end. @throws the signal's reason */
  async ended(id: string, signal: AbortSignal): Promise<Ended> {
    const { journal, store } = this.#deps
    const before = await store.get(id)
    if (before === undefined) throw noSuchExecution(id)
    if (!hasEnded(before)) {
      await journal.wait(id, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        // It has ended and the journal has forgotten it.
        if (asVestryError(error).code !== 'JOB_NOT_FOUND') throw error
      })
      await this.#settle(id)
    }
    const execution = await store.get(id)
    if (execution === undefined) throw noSuchExecution(id)
    return { execution, content: await store.content(id) }
  }

  /**
   * Waits until it has ended or has more than `seen` steps, but no longer than told. Only of one that runs here the
   * steps are known; of others the end.
   */
  async moved(id: string, seen: number, ms: number, signal: AbortSignal): Promise<void> {
    const own = new AbortController()
    const both = AbortSignal.any([signal, own.signal])
    using watch = this.#progress.watch(id, seen)
    // One that waits for its turn has no steps yet: it is looked at again.
    const longest = this.#progress.has(id) ? ms : Math.min(ms, LOOK_AGAIN_MS)
    const ended = this.ended(id, both).then(
      () => undefined,
      (error: unknown) => {
        if (!both.aborted) throw error
      },
    )
    const late = delay(longest, undefined, { signal: both }).catch(() => undefined)
    try {
      await Promise.race([watch.moved, ended, late])
    } finally {
      own.abort()
    }
  }

  /** Ends one. @returns false where it has ended before. */
  async cancel(execution: Execution): Promise<boolean> {
    const { journal, store, runner } = this.#deps
    if (hasEnded(execution)) return false
    const { id } = execution
    // First what keeps it from going on, wherever it runs.
    await runner.closeRun(id).catch(() => undefined)
    const stopped = await journal.cancel(id)
    if (stopped && this.#progress.has(id)) {
      const late = AbortSignal.timeout(CANCEL_WAIT_MS)
      await this.ended(id, late).catch(() => undefined)
    }
    // One that waited for its turn has nobody else to say so.
    const now = await store.get(id)
    if (now?.status === 'pending') await this.#deps.store.end(now, CANCELLED, now.facts)
    // So has a program that waited to go on.
    else if (stopped) await this.#settle(id)
    return true
  }

  /** Ends all of one agent. @returns how many. */
  async cancelAll(agentId: string): Promise<number> {
    const open = await this.#deps.store.open(agentId)
    const done = await Promise.all(open.map((execution) => this.cancel(execution)))
    return done.filter(Boolean).length
  }

  /** Tells what nobody works on any more as interrupted. @param youngMs Younger ones may be on their way. */
  async recover(youngMs = ACCEPTING_MS): Promise<void> {
    const { store, now } = this.#deps
    for (const execution of await store.open()) {
      if (now() - execution.createdAt < youngMs) continue
      await this.#settle(execution.id)
    }
  }

  /** One agent that is asked without end must not keep all others from being asked. */
  async #assertShare({ id, name }: Agent): Promise<void> {
    const { store, settings } = this.#deps
    const share = Math.ceil(settings.agent_queue_max / 2)
    if ((await store.waiting(id)) < share) return
    throw new VestryError('QUEUE_FULL', `Agent "${name}" has ${share} executions waiting already`, {
      hint: 'Wait until some have ended, or stop them',
    })
  }

  /** Which version is asked for; undefined where a model decides what is done. */
  async #programOf({ agent, program = {} }: AskedExecution): Promise<PinnedProgram | undefined> {
    const version = await this.#deps.programs?.()?.runnable(agent.id, program.version)
    return version === undefined ? undefined : { ...program, version }
  }

  async #accept(execution: Execution, content: ExecutionContent): Promise<Execution> {
    const { store, journal } = this.#deps
    await store.add(execution, content)
    try {
      await journal.reserve({
        id: execution.id,
        kind: kindOf(execution.facts.depth ?? 0),
        agentId: execution.agentId,
        subject: 'agent:run',
        mode: 'queued',
        // A program is gone through again over what it did before; a model would decide anew.
        repeatable: content.program !== undefined,
        retainMs: JOURNAL_KEPT_MS,
      })
    } catch (error) {
      await store.drop(execution.id).catch(() => undefined) // else it is told as interrupted
      throw error
    }
    return execution
  }

  /** The journal has given it up, or never had it: then so do we. */
  async #settle(id: string): Promise<void> {
    const { store, journal, runner } = this.#deps
    const execution = await store.get(id)
    if (execution === undefined || hasEnded(execution) || this.#progress.has(id)) return
    const work = await journal.get(id)
    if (work !== undefined && !workHasEnded(work)) return
    const code = work?.errorCode ?? 'OUTCOME_UNKNOWN'
    const ending = code === 'OUTCOME_UNKNOWN' ? INTERRUPTED : endingOf(new VestryError(code))
    // How long nobody worked on it is not how long it took.
    await store.end({ ...execution, startedAt: undefined }, ending, execution.facts)
    await runner.closeRun(id).catch(() => undefined)
  }

  async #run(held: Held, signal: AbortSignal): Promise<void> {
    await before(this.#opened.promise, signal)
    const { store, agents, definitions, now } = this.#deps
    const execution = await store.get(held.id)
    const content = await store.content(held.id)
    const program = content?.program
    const goesOn = execution?.status === 'running' && program !== undefined
    if (
      execution === undefined ||
      content === undefined ||
      (execution.status !== 'pending' && !goesOn)
    ) {
      await held.fail({ code: 'CANCELLED', reached: false })
      return
    }
    const agent = await agents.byId(execution.agentId)
    const defined = await definitions.get(execution.agentId)
    const definition = defined && { ...defined, ...content.overrides }
    const facts = {
      ...execution.facts,
      ...(definition !== undefined && program === undefined && { model: definition.model }),
    }
    // From here on it has begun, and until here nothing of it can be lost.
    await held.sent()
    if (!goesOn && !(await store.begin(held.id, facts))) {
      await held.finish(NOTHING)
      return
    }
    const startedAt = execution.startedAt ?? now()
    const begun = { ...execution, facts, startedAt }
    if (agent?.status !== 'enabled' || definition === undefined) {
      await store.end(begun, CANCELLED, facts)
      await held.finish(NOTHING)
      return
    }
    const { input } = content
    using progress = this.#progress.begin(held.id)
    const given = { execution: begun, agent, input }
    if (program === undefined) {
      await this.#workOff({ ...given, definition }, progress, signal)
    } else await this.#runProgram({ ...given, program, held }, progress, signal)
    await held.finish(NOTHING)
  }

  #workOff(
    work: Pick<Work, 'execution' | 'agent' | 'definition' | 'input'>,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    const { settings, runner } = this.#deps
    const { execution, input } = work
    const { onStep } = progress
    return workOff(
      this.#deps,
      {
        execution,
        input,
        limitSeconds: settings.agent_timeout_seconds,
        resumes: false,
        carryOut: (bounds) => carryOut(runner, { ...work, ...bounds, onStep }),
      },
      progress,
      signal,
    )
  }

  async #runProgram(
    work: Pick<ProgramWork, 'execution' | 'agent' | 'input' | 'program' | 'held'>,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    const { settings, programs } = this.#deps
    const { execution, input, agent, program } = work
    const runner = programs?.()
    if (runner === undefined) throw new VestryError('SHUTTING_DOWN') // it is not put together yet
    const own = await runner.timeoutSeconds(agent.id, program)
    const most = settings.agent_timeout_seconds
    await workOff(
      this.#deps,
      {
        execution,
        input,
        limitSeconds: Math.min(own ?? most, most),
        resumes: true,
        carryOut: (bounds) => runner.run({ ...work, ...bounds, ...progress }),
      },
      progress,
      signal,
    )
  }
}

/** A deployment's settings were read when it was made. */
function overridesOf({ config = {} }: ProgramAsk = {}): Pick<ExecutionContent, 'overrides'> {
  const { model, temperature } = config
  const overrides: DefinitionOverrides = {
    ...(typeof model === 'string' && { model }),
    ...(typeof temperature === 'number' && { temperature }),
  }
  return Object.keys(overrides).length === 0 ? {} : { overrides }
}

function kindOf(depth: number): string {
  return depth === 0 ? JOURNAL_KIND : `${JOURNAL_KIND}/${depth}`
}

const LOOK_AGAIN_MS = 250
const CANCEL_WAIT_MS = 5_000

const CANCELLED: Ending = {
  status: 'cancelled',
  error: { code: 'CANCELLED', message: 'It was stopped' },
}

export function noSuchExecution(id: string): VestryError {
  return new VestryError('JOB_NOT_FOUND', `There is no execution "${id.slice(0, 64)}"`)
}

function unable({ name }: Agent, why: string, hint: string): VestryError {
  return new VestryError('INVALID_STATE_TRANSITION', `Agent "${name}" ${why}`, { hint })
}

async function before(opened: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([opened, ended])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

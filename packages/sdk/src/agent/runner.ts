/**
 * Runs an agent from environment to exit code: every way a run can end has one code, every wait has an
 * end, and stdout stays empty.
 */
import { type Environment, variable } from '../sage/environment.ts'
import { SageSanctumError } from '../sage/errors.ts'
import {
  bindLogging,
  configureLogging,
  getLogger,
  type LoggingOptions,
  loggingFromEnvironment,
} from '../sage/log.ts'
import { type AgentClass, AgentShutdown, type SageSanctumAgent } from './agent.ts'
import { AgentContext } from './context.ts'
import { crashes } from './crashes.ts'
import {
  checked,
  described,
  type Ending,
  EXIT_SHUTDOWN,
  EXIT_UNEXPECTED,
  exitCodeOf,
  inTime,
  isOf,
  type Settled,
  settled,
  stemsFromShutdown,
  validCode,
} from './ending.ts'
import type { AgentInput, AgentResult } from './io.ts'
import type { RepositoryInput } from './repository.ts'
import { writeRunSummary } from './run-summary.ts'
import { type ShutdownSignals, type Signals, shutdownSignals } from './shutdown.ts'

/** How long an agent may take to come to an end after a signal. */
const DEFAULT_GRACE_MS = 10_000

const ALIVE_MS = 60_000

/** For writing what it then handed back. */
const PARTIAL_WRITE_MS = 800

export interface AgentRunnerOptions<I extends AgentInput = RepositoryInput> {
  /** Default `process.env`. */
  env?: Environment | undefined
  /** Default 10 000. */
  graceMs?: number | undefined
  /** Also writes `run.json` beside the report. Default false. */
  summary?: boolean | undefined
  /** Instead of `SAGE_LOG_FORMAT` and `SAGE_LOG_LEVEL`. */
  logging?: LoggingOptions | undefined
  /** Instead of a context from the environment, e.g. `AgentContext.forLocalDevelopment()`. */
  context?: ((options: { signal: AbortSignal }) => Promise<AgentContext> | AgentContext) | undefined
  /** Instead of the repository of `REPO_PATH`. */
  input?: ((context: AgentContext) => Promise<I> | I) | undefined
  /** Where signals come from. Default `process`. */
  signals?: Signals | undefined
  /** Ends the process at the second signal. Default `process.exit`. */
  exit?: ((code: number) => void) | undefined
}

/** What is known so far; each stage adds to it. */
interface Progress<I extends AgentInput> {
  readonly startedAtMs: number
  readonly stop: AbortController
  /** The agent has settled; a signal after that comes too late. */
  isDone: boolean
  /** A signal came while there was something to stop. */
  isStopped: boolean
  context?: AgentContext
  agent?: SageSanctumAgent<I>
  input?: I
}

export class AgentRunner<I extends AgentInput = RepositoryInput> {
  readonly #Agent: AgentClass<I>
  readonly #options: AgentRunnerOptions<I>
  readonly #logger = getLogger('sage_sanctum.runner')

  constructor(Agent: AgentClass<I>, options: AgentRunnerOptions<I> = {}) {
    this.#Agent = Agent
    this.#options = options
  }

  /** Never rejects. @returns The exit code, 0 to 255. */
  async run(): Promise<number> {
    const progress: Progress<I> = {
      startedAtMs: performance.now(),
      stop: new AbortController(),
      isDone: false,
      isStopped: false,
    }
    const crash = crashes()
    let insist: (ending: Ending) => void = () => {}
    const insisted = new Promise<Ending>((resolve) => {
      insist = resolve
    })
    const signals = shutdownSignals(
      this.#options.signals ?? process,
      (signal) => {
        this.#logger.info('shutdown_signal_received', { signal })
        progress.isStopped = !progress.isDone
        progress.stop.abort(new AgentShutdown(signal))
        progress.agent?.requestShutdown(signal)
      },
      () => {
        this.#logger.info('agent_interrupted')
        insist({ code: EXIT_SHUTDOWN })
        const exit = this.#options.exit ?? ((code: number) => process.exit(code))
        exit(EXIT_SHUTDOWN)
      },
    )
    // Neither a signal handler nor a promise keeps a process alive that has nothing else to do.
    const alive = setInterval(() => {}, ALIVE_MS)
    try {
      this.#configureLogging()
      const ended = await Promise.race([this.#stages(progress, signals), crash.happened, insisted])
      return await this.#finish(progress, ended)
    } catch (error) {
      const ending = this.#failure(error)
      // After a crash the agent may still be at work.
      progress.agent?.requestShutdown('failure')
      return await this.#finish(progress, ending)
    } finally {
      clearInterval(alive)
      signals.release()
      crash.release()
    }
  }

  #configureLogging(): void {
    const env = this.#options.env ?? process.env
    // So that even a wrong setting is reported in a known form.
    configureLogging({ write: this.#options.logging?.write })
    const fields = { run_id: variable(env, 'RUN_ID'), org_id: variable(env, 'ORG_ID') }
    configureLogging({ fields, ...loggingFromEnvironment(env), ...this.#options.logging })
  }

  /** From the context to the written output. */
  async #stages(progress: Progress<I>, signals: ShutdownSignals): Promise<Ending> {
    const stopped = signals.first.then(() => undefined)
    const prepared = await Promise.race([settled(this.#prepare(progress)), stopped])
    if (prepared === undefined || progress.isStopped) {
      this.#logger.info('agent_cancelled')
      return { code: EXIT_SHUTDOWN }
    }
    if ('error' in prepared) throw prepared.error
    const agent = prepared.value
    const running = settled(Promise.resolve().then(() => agent.run(progress.input as I))) // just prepared
    void running.then(() => {
      progress.isDone = true
    })
    const outcome = await Promise.race([running, stopped])
    if (outcome === undefined || progress.isStopped) return await this.#stop(progress, running)
    if ('error' in outcome) throw outcome.error
    return await this.#write(progress, checked(outcome.value), false)
  }

  async #prepare(progress: Progress<I>): Promise<SageSanctumAgent<I>> {
    const { env = process.env } = this.#options
    const { signal } = progress.stop
    this.#logger.info('initializing_context')
    const context = await this.#context(signal, env)
    progress.context = context
    bindLogging({ run_id: context.runId, org_id: context.orgId })
    const agent = new this.#Agent(context)
    progress.agent = agent
    if (signal.aborted) throw signal.reason
    this.#logger.info('agent_starting', {
      agent: agent.name,
      version: agent.version,
      run_id: context.runId,
    })
    progress.input = await this.#input(context)
    return agent
  }

  async #context(signal: AbortSignal, env: Environment): Promise<AgentContext> {
    const { context } = this.#options
    if (context !== undefined) return await context({ signal })
    if (!this.#Agent.requiresGateway) return AgentContext.forExternalLlm({ env })
    return await AgentContext.fromEnvironment({ env, signal })
  }

  async #input(context: AgentContext): Promise<I> {
    const { input } = this.#options
    if (input === undefined) {
      // The default input type of an agent; any other comes with `input`.
      return (await context.loadInput()) as unknown as I
    }
    const loaded = await input(context)
    await loaded.validate?.()
    return loaded
  }

  /** After a signal: the agent has its grace, and what it hands back in that time is kept. */
  async #stop(progress: Progress<I>, running: Promise<Settled<AgentResult>>): Promise<Ending> {
    const { graceMs = DEFAULT_GRACE_MS } = this.#options
    const last = await inTime(running, graceMs)
    this.#logger.info('agent_cancelled')
    if (last === undefined) return { code: EXIT_SHUTDOWN, isPartial: true }
    if ('error' in last) return this.#stopFailure(last.error)
    // What a stopped agent returns may be anything, nothing included.
    const result: AgentResult = last.value ?? {}
    const written = this.#write(progress, result, true).catch((error: unknown) =>
      this.#failure(error),
    )
    const ending = await inTime(written, PARTIAL_WRITE_MS)
    return { ...ending, code: EXIT_SHUTDOWN, result, isPartial: true }
  }

  #stopFailure(error: unknown): Ending {
    if (isOf(SageSanctumError, error)) return this.#failure(error)
    if (!stemsFromShutdown(error)) this.#failure(error)
    return { code: EXIT_SHUTDOWN, isPartial: true }
  }

  async #write(progress: Progress<I>, result: AgentResult, isPartial: boolean): Promise<Ending> {
    const { context, agent, input } = progress
    const code = isPartial ? EXIT_SHUTDOWN : exitCodeOf(result)
    if (result.output !== undefined && result.output !== null && context !== undefined) {
      const path = (input as { path?: unknown } | undefined)?.path
      const files = await context.writeOutput(result.output, {
        agentName: agent?.name,
        partial: isPartial,
        exitCode: code,
        ...(typeof path === 'string' && { repositoryPath: path }),
      })
      this.#logger.info('output_written', { files })
    }
    const error = result.error || undefined
    if (error !== undefined) this.#logger.error('agent_error', { error, exit_code: code })
    return { code, result, error, isPartial }
  }

  #failure(error: unknown): Ending {
    if (isOf(SageSanctumError, error)) {
      const code = validCode(error.exitCode)
      const { name, message } = error
      this.#logger.error('agent_error', { error: `${name}: ${message}`, exit_code: code })
      return { code, error: `${name}: ${message}` }
    }
    const { message, trace } = described(error)
    this.#logger.error('unexpected_error', { error: message, exception: trace })
    return { code: EXIT_UNEXPECTED, error: message }
  }

  async #finish(progress: Progress<I>, ending: Ending): Promise<number> {
    const { agent, context } = progress
    const durationSeconds = Math.round(performance.now() - progress.startedAtMs) / 1000
    if (ending.result !== undefined) {
      if (Object.isExtensible(ending.result)) ending.result.durationSeconds = durationSeconds
      this.#logger.info('agent_completed', {
        agent: agent?.name,
        duration: durationSeconds,
        exit_code: ending.code,
      })
    }
    if (this.#options.summary !== true || context === undefined) return ending.code
    const summary = { ...ending, agent, context, durationSeconds }
    const written = writeRunSummary(summary).then(
      () => ending.code,
      (error: unknown) => {
        const failed = this.#failure(error)
        return ending.code === 0 ? failed.code : ending.code
      },
    )
    return (await inTime(written, PARTIAL_WRITE_MS)) ?? ending.code
  }
}

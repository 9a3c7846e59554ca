/** The base of an agent: a name, a version, one `run`, and a signal that says when to stop. */
import type { AgentContext } from './context.ts'
import type { AgentInput, AgentResult } from './io.ts'
import type { RepositoryInput } from './repository.ts'

/** The reason of an agent's signal: what is cancelled by it rejects with this. */
export class AgentShutdown extends Error {
  /** E.g. `SIGTERM`. */
  readonly by: string

  constructor(by: string) {
    super(`The run is shut down by ${by}`)
    this.name = 'AgentShutdown'
    this.by = by
  }
}

export abstract class SageSanctumAgent<I extends AgentInput = RepositoryInput> {
  /** False for an agent that drives a tool with its own way to a model. */
  static readonly requiresGateway: boolean = true

  readonly context: AgentContext
  readonly #shutdown = new AbortController()

  constructor(context: AgentContext) {
    this.context = context
  }

  abstract readonly name: string
  abstract readonly version: string

  /**
   * Does the work. Pass `signal` to what waits, and return what there is when it fires.
   *
   * @throws SageSanctumError whose exit code becomes the process's.
   */
  abstract run(input: I): Promise<AgentResult>

  /** Fires once, with an {@link AgentShutdown} as its reason. */
  get signal(): AbortSignal {
    return this.#shutdown.signal
  }

  get shutdownRequested(): boolean {
    return this.#shutdown.signal.aborted
  }

  /** Resolves when shutdown is requested. */
  waitForShutdown(): Promise<void> {
    const { signal } = this.#shutdown
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Asks the agent to stop; the runner does at the first SIGTERM or SIGINT. */
  requestShutdown(by: string): void {
    if (!this.#shutdown.signal.aborted) this.#shutdown.abort(new AgentShutdown(by))
  }
}

/** A class the runner can make an agent of. */
export interface AgentClass<I extends AgentInput = RepositoryInput> {
  readonly requiresGateway: boolean
  new (context: AgentContext): SageSanctumAgent<I>
}

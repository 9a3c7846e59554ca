/** Brings stored policies into force, one load at a time: the last one to end is the last one that read. */
import type { PolicyEngine } from '../policy/engine.ts'
import type { PolicyStore } from '../policy/policy-store.ts'

const RETRY_MS = 1_000

export class PolicyReload {
  readonly #engine: PolicyEngine
  readonly #policies: Pick<PolicyStore, 'list'>
  #current: Promise<void> | undefined
  #next: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #stopped = false

  constructor(engine: PolicyEngine, policies: Pick<PolicyStore, 'list'>) {
    this.#engine = engine
    this.#policies = policies
  }

  /** Resolves when policies are in force that were read after this call. */
  load(): Promise<void> {
    this.#stopped = false
    // A load under way may have read before the change that asks for this one.
    this.#next ??= this.#after(this.#current)
    return this.#next
  }

  /** Resolves when every load asked for so far is done. @throws what the last of them threw. */
  async settled(): Promise<void> {
    await (this.#next ?? this.#current)
  }

  /** From now on everything is refused to agents. */
  stop(why: string): void {
    this.#stopped = true
    clearTimeout(this.#retry)
    this.#engine.close(why)
  }

  async #after(previous: Promise<void> | undefined): Promise<void> {
    await previous?.catch(() => undefined)
    this.#current = this.#next
    this.#next = undefined
    try {
      await this.#read()
    } finally {
      if (this.#next === undefined) this.#current = undefined
    }
  }

  async #read(): Promise<void> {
    clearTimeout(this.#retry)
    try {
      const rows = await this.#policies.list()
      if (!this.#stopped) this.#engine.load(rows)
    } catch (error) {
      this.#engine.close('the policies could not be read')
      if (!this.#stopped) this.#retryLater()
      throw error
    }
  }

  /** A store that was away for a moment must not leave the vault refusing until the next change. */
  #retryLater(): void {
    this.#retry = setTimeout(() => this.load().catch(() => undefined), RETRY_MS).unref()
  }
}

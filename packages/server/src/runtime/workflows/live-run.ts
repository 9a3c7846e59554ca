/** How far the runs that this process holds have come, for whoever watches them. */
import type { StepView } from './walk.ts'

export class LiveRun {
  /** Epoch ms. */
  readonly startedAt: number
  /** Something came while it ran. */
  poked = false
  readonly #views = new Map<string, StepView>()
  readonly #listeners = new Set<() => void>()

  constructor(startedAt: number) {
    this.startedAt = startedAt
  }

  get views(): readonly StepView[] {
    return [...this.#views.values()]
  }

  onStep(view: StepView): void {
    this.#views.set(view.id, view)
    this.tell()
  }

  tell(): void {
    for (const listener of this.#listeners) listener()
  }

  /** @returns Stops the calls. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** The calls that run now, so that all of them can be ended: without a signal that outlives them and collects them. */

export class CallsUnderWay {
  readonly #running = new Set<AbortController>()

  get size(): number {
    return this.#running.size
  }

  /** A call that runs until it is disposed. */
  begin(): Disposable & { readonly controller: AbortController } {
    const controller = new AbortController()
    this.#running.add(controller)
    return { controller, [Symbol.dispose]: () => void this.#running.delete(controller) }
  }

  end(reason: Error): void {
    for (const controller of this.#running) controller.abort(reason)
  }
}

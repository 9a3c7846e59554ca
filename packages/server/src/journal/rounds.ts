/** Work that comes round: one turn of a kind at a time, and what fails is for the next turn to mend. */
export class Rounds {
  #timers: NodeJS.Timeout[] = []

  get running(): boolean {
    return this.#timers.length > 0
  }

  every(ms: number, run: () => Promise<unknown>): void {
    let busy = false
    const timer = setInterval(async () => {
      if (busy) return
      busy = true
      await run().catch(() => undefined)
      busy = false
    }, ms)
    this.#timers.push(timer.unref())
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
  }
}

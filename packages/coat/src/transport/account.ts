/** What became of every event: the sums must come out even, because the collector counts too. */
import type { Health } from './health.ts'

export class Account {
  /** Also the number of the newest event. */
  emitted = 0
  written = 0
  acked = 0
  rejected = 0
  /** Left the ring unacknowledged, but were told on stderr. */
  spilled = 0
  readonly dropped = { lifecycle: 0, detail: 0 }
  #told = NOTHING

  /** Of all that was emitted, what the collector will never see. */
  get missing(): number {
    return this.dropped.lifecycle + this.dropped.detail + this.spilled
  }

  drop(isDetail: boolean): void {
    if (isDetail) this.dropped.detail += 1
    else this.dropped.lifecycle += 1
  }

  /** @returns What a health event says, if something happened since the last one. */
  news(now: Pick<Health, 'fallbackSinceMs' | 'reconnects' | 'queueHighWater'>): Health | undefined {
    const { emitted, dropped, spilled } = this
    const text = JSON.stringify([this.missing, now.reconnects, now.fallbackSinceMs ?? 0])
    if (text === this.#told || text === NOTHING) return undefined
    this.#told = text
    return { ...now, emitted, dropped: { ...dropped }, spilled }
  }
}

const NOTHING = JSON.stringify([0, 0, 0])

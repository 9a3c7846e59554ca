/**
 * Thought signatures of tool calls: a provider wants them back with the call's result, and clients return only
 * what they know. Kept per run, bounded, for an hour; a run never sees those of another.
 */
import { RecentMap } from '../store/recent-map.ts'

const MAX_SIGNATURES = 10_000
/** Of one signature, in characters; longer ones are not kept. */
const MAX_LENGTH = 65_536
const KEEP_MS = 3_600_000

export interface RunSignatures {
  get(callId: string): string | undefined
  set(callId: string, signature: string): void
}

export class SignatureBook {
  readonly #signatures = new RecentMap<string, { text: string; untilMs: number }>(MAX_SIGNATURES)
  readonly #now: () => number

  /** @param now Milliseconds of a clock that is never set back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** @param txn The run's transaction. */
  of(txn: string): RunSignatures {
    return {
      get: (callId) => {
        const found = this.#signatures.get(`${txn} ${callId}`)
        return found === undefined || found.untilMs <= this.#now() ? undefined : found.text
      },
      set: (callId, signature) => {
        if (signature.length > MAX_LENGTH) return
        const untilMs = this.#now() + KEEP_MS
        this.#signatures.set(`${txn} ${callId}`, { text: signature, untilMs })
      },
    }
  }

  clear(): void {
    this.#signatures.clear()
  }
}

/** Which intents still wait for their outcome. Pure bookkeeping, fed in the order of records. */
import { type AuditRecord, pairKey } from './record.ts'

export class OpenIntents {
  readonly #keys = new Map<number, string>()
  readonly #seqs = new Map<string, number[]>()

  opened(seq: number, key: string): void {
    this.#keys.set(seq, key)
    const same = this.#seqs.get(key)
    if (same === undefined) this.#seqs.set(key, [seq])
    else same.push(seq)
  }

  /**
   * @param seq The intent the outcome names; the oldest open one with this key when it names none.
   * @returns `seq` and key of the intent that was closed, so that it can be opened again.
   */
  closed(key: string, seq?: number): { seq: number; key: string } | undefined {
    const found = seq ?? this.#seqs.get(key)?.[0]
    return found === undefined ? undefined : this.forget(found)
  }

  forget(seq: number): { seq: number; key: string } | undefined {
    const key = this.#keys.get(seq)
    if (key === undefined) return undefined
    this.#keys.delete(seq)
    const rest = (this.#seqs.get(key) ?? []).filter((other) => other !== seq)
    if (rest.length === 0) this.#seqs.delete(key)
    else this.#seqs.set(key, rest)
    return { seq, key }
  }

  get size(): number {
    return this.#keys.size
  }

  /** Lowest `seq` still open, 0 when none is: a scan for open intents need not go below it. */
  get oldest(): number {
    let low = 0
    for (const seq of this.#keys.keys()) if (low === 0 || seq < low) low = seq
    return low
  }
}

/** The same question asked of records read newest first. */
export class OpenIntentsBackward {
  readonly #closedSeqs = new Set<number>()
  readonly #closedKeys = new Map<string, number>()
  readonly #open: AuditRecord[] = []

  see(record: AuditRecord): void {
    if (record.phase === 'outcome') {
      const intent = record.outcome?.intent
      if (typeof intent === 'number') this.#closedSeqs.add(intent)
      else this.#count(pairKey(record), 1)
    } else if (record.phase === 'intent' && !this.#isClosed(record)) this.#open.push(record)
  }

  /** Oldest first. */
  get open(): AuditRecord[] {
    return this.#open.toReversed()
  }

  #isClosed(record: AuditRecord): boolean {
    if (this.#closedSeqs.delete(record.seq)) return true
    const key = pairKey(record)
    if ((this.#closedKeys.get(key) ?? 0) === 0) return false
    this.#count(key, -1)
    return true
  }

  #count(key: string, by: number): void {
    const next = (this.#closedKeys.get(key) ?? 0) + by
    if (next === 0) this.#closedKeys.delete(key)
    else this.#closedKeys.set(key, next)
  }
}

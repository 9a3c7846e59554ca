/** A record on its way to the disk. */
import { linkHash } from './chain.ts'
import {
  type AuditEntry,
  type Fragments,
  fragmentsOf,
  hashMember,
  pairKey,
  placed,
} from './record.ts'

/**
 * What happens to it when the disk fails: `synced` is refused, `written` waits in memory, `notice`
 * (the log about itself) waits and is never dropped, `passing` (checkpoint, gap) is made anew.
 */
export type PendingKind = 'synced' | 'written' | 'notice' | 'passing'

export class Pending {
  readonly kind: PendingKind
  /**
   * Absent once placed, and for a barrier, which waits for what stands before it and writes nothing.
   */
  #parts: Fragments | undefined
  /** A barrier writes nothing. */
  readonly barrier: boolean
  readonly chars: number
  readonly phase: AuditEntry['phase']
  readonly pair: string
  /** `seq` of the intent that this outcome names. */
  readonly intent: number | undefined
  readonly resolve: (seq: number) => void
  readonly reject: (reason: unknown) => void
  /** 0 until placed. */
  seq = 0
  /** The line as placed, kept until it is on disk. Two flat strings: the fragments' many small ones
   * would live through a garbage collection and cost more than the hash. */
  #head = ''
  #rest = ''
  #hash = ''
  /** The intent that linking it closed. */
  closed: { seq: number; key: string } | undefined = undefined

  constructor(
    kind: PendingKind,
    entry: AuditEntry | undefined,
    parts: Fragments | undefined,
    chars: number,
    resolve: (seq: number) => void = ignore,
    reject: (reason: unknown) => void = ignore,
  ) {
    this.kind = kind
    this.#parts = parts
    this.barrier = parts === undefined
    this.chars = chars
    this.phase = entry?.phase ?? 'single'
    this.pair = entry === undefined || entry.phase === 'single' ? '' : pairKey(entry)
    this.intent = typeof entry?.outcome?.intent === 'number' ? entry.outcome.intent : undefined
    this.resolve = resolve
    this.reject = reject
  }

  /**
   * Links it behind `prev` and writes its line, newline included.
   *
   * @param out With room for it at `at`: three bytes for each of `chars`, and 512.
   * @returns Where the line ends.
   */
  place(prev: string, seq: number, out: Buffer, at: number): number {
    const parts = this.#parts ?? fragmentsOf(this.#head + hashMember(this.#hash) + this.#rest)
    const { head, rest } = placed(parts, prev, seq)
    this.#parts = undefined
    this.seq = seq
    this.#head = head
    this.#rest = rest
    this.#hash = linkHash(prev, head, rest)
    let end = at + out.write(head, at)
    end += out.write(hashMember(this.#hash), end, 'latin1')
    end += out.write(rest, end)
    out[end] = 10
    return end + 1
  }

  get hash(): string {
    return this.#hash
  }
}

function ignore(): void {}

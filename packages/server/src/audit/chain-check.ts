/**
 * Checks a chain line by line, in constant memory, and names the first thing that is wrong with it.
 * Pure: it is fed lines and knows nothing of files.
 */
import type { KeyObject } from 'node:crypto'
import {
  asSignedHead,
  GENESIS,
  type Head,
  headHolds,
  linkHash,
  type SignedHead,
  tombstoneHolds,
} from './chain.ts'
import type { Line } from './lines.ts'
import { type AuditRecord, canonicalOf, parseRecord } from './record.ts'

export type BadKind =
  | 'modified'
  | 'missing'
  | 'inserted'
  | 'reordered'
  | 'truncated'
  | 'bad_checkpoint'

export interface Bad {
  /** First `seq` that cannot be trusted; for `missing` and `truncated` the first that is absent. */
  seq: number
  kind: BadKind
  /** For a person: what about it is wrong. */
  detail: string
  /** Where it was seen; absent for what is not there. */
  file?: string
  offset?: number
  expected?: string
  actual?: string
}

interface Seen {
  record: AuditRecord
  /** The record's own hash, computed from its content and its `prev`; absent when not canonical. */
  computed: string | undefined
}

export class ChainCheck {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #watched: Map<number, string | undefined>
  readonly #anywhere: boolean

  /** Records that belong to the unbroken chain so far. */
  entries = 0
  checkpoints = 0
  first: AuditRecord | undefined
  last: AuditRecord | undefined
  lastCheckpoint: SignedHead | undefined
  chain: string | undefined
  bad: Bad | undefined
  /** Legacy logs that the first record vouches for. */
  legacy: { file: string; sha256: string }[] = []

  #file = ''
  #segmentSeq = 0
  #atSegmentStart = false
  /** Whether the next line decides if a line that does not fit was inserted or replaced another. */
  #undecided = false
  /** The end of what was deleted before our first record, until a tombstone vouches for it. */
  #unproven: Head | undefined
  #begun = false
  /** Record 1 turned up, though the log does not begin with it. */
  #firstSeenLater = false

  /**
   * @param keys Public keys by id; without any, signatures are not checked.
   * @param watch Sequence numbers whose hashes {@link hashAt} will be asked for.
   * @param anywhere The lines are a range: they may begin at any record.
   */
  constructor(keys: ReadonlyMap<string, KeyObject>, watch: readonly number[], anywhere = false) {
    this.#keys = keys
    this.#watched = new Map(watch.map((seq) => [seq, undefined]))
    this.#anywhere = anywhere
  }

  /** Begins the next file. @param firstSeq As its name says; 0 when the name does not tell. */
  segment(file: string, firstSeq: number): void {
    this.#file = file
    this.#segmentSeq = firstSeq
    this.#atSegmentStart = !this.#anywhere
  }

  hashAt(seq: number): string | undefined {
    return this.#watched.get(seq)
  }

  line(line: Line): void {
    const seen = read(line)
    if (seen?.record.seq === 1 && this.#begun) this.#firstSeenLater = true
    this.#begun = true
    if (this.bad !== undefined) this.#afterBad(this.bad, seen)
    else this.#next(line, seen)
  }

  /** Call once, after the last line. */
  finish(): void {
    const gap = this.#unproven
    if (gap === undefined) return
    // What is missing at the front comes before anything found further on.
    if (this.#firstSeenLater)
      this.bad = { seq: 1, kind: 'reordered', detail: 'record 1 stands after later ones' }
    else
      this.bad = {
        seq: 1,
        kind: 'missing',
        detail: `records 1 to ${gap.seq} are gone and no tombstone says that they were deleted on purpose`,
      }
  }

  #next(line: Line, seen: Seen | undefined): void {
    const expected = this.#expected(seen?.record)
    if (seen?.computed === undefined || seen.computed !== seen.record.hash) {
      this.#undecided = true
      this.#fail(line, expected.seq + 1, 'modified', ...selfReason(seen))
      return
    }
    const { record } = seen
    if (record.seq > expected.seq + 1) {
      const detail = `record ${record.seq} follows ${expected.seq}`
      this.#fail(line, expected.seq + 1, 'missing', detail)
      return
    }
    if (record.seq <= expected.seq) {
      this.#fail(line, record.seq, 'inserted', `a second record ${record.seq}`)
      return
    }
    if (record.prev !== expected.hash) {
      this.#undecided = true
      const detail = `record ${record.seq} was written after another record ${expected.seq}`
      this.#fail(line, Math.max(expected.seq, 1), 'modified', detail, record.prev, expected.hash)
      return
    }
    const fault = this.#faultOf(record)
    if (fault !== undefined) {
      this.#fail(line, record.seq, fault.kind, fault.detail)
      return
    }
    this.#accept(record)
  }

  /** What the next record must follow. The first one of a pruned log, or of a range, sets it itself. */
  #expected(record: AuditRecord | undefined): Head {
    if (this.last !== undefined) return this.last
    if (record !== undefined && record.seq > 1) {
      const begin = { seq: record.seq - 1, hash: record.prev }
      if (this.#anywhere) return begin
      if (record.action === 'audit_open') {
        this.#unproven = begin
        return begin
      }
    }
    return { seq: Math.max(this.#segmentSeq - 1, 0), hash: GENESIS }
  }

  #accept(record: AuditRecord): void {
    this.entries += 1
    this.first ??= record
    this.last = record
    this.#atSegmentStart = false
    if (this.#watched.has(record.seq)) this.#watched.set(record.seq, record.hash)
  }

  /** Records of the log about itself must say what is true. */
  #faultOf(record: AuditRecord): { kind: BadKind; detail: string } | undefined {
    if (this.#atSegmentStart) {
      const detail = this.#segmentFault(record)
      if (detail !== undefined) return { kind: 'modified', detail }
    }
    if (record.action === 'audit_open') return this.#openFault(record)
    if (record.action === 'audit_checkpoint') return this.#checkpointFault(record)
    if (record.action === 'audit_tombstone') return this.#tombstoneFault(record)
    return undefined
  }

  #segmentFault(record: AuditRecord): string | undefined {
    if (record.action !== 'audit_open') return `${this.#file} does not begin with audit_open`
    if (this.#segmentSeq !== 0 && this.#segmentSeq !== record.seq)
      return `${this.#file} begins with record ${record.seq}`
    const link = record.data?.['prev_segment']
    if (record.seq === 1 || this.last === undefined) return undefined
    const named = link !== null && typeof link === 'object' ? (link as Partial<Head>) : {}
    if (named.seq !== this.last.seq || named.hash !== this.last.hash)
      return `${this.#file} names another end of the segment before it`
    return undefined
  }

  #openFault(record: AuditRecord): { kind: BadKind; detail: string } | undefined {
    const chain = record.data?.['chain']
    if (typeof chain !== 'string') return { kind: 'modified', detail: 'audit_open without a chain' }
    if (this.chain !== undefined && chain !== this.chain)
      return { kind: 'modified', detail: 'audit_open of another chain' }
    this.chain = chain
    if (record.seq === 1) this.legacy = legacyOf(record.data?.['legacy'])
    return undefined
  }

  #checkpointFault(record: AuditRecord): { kind: BadKind; detail: string } | undefined {
    const head = asSignedHead(record.data)
    const fault = (detail: string) => ({ kind: 'bad_checkpoint' as const, detail })
    if (head === undefined) return fault('a checkpoint that is none')
    this.chain ??= head.chain
    if (head.chain !== this.chain) return fault('a checkpoint of another chain')
    if (head.seq !== record.seq - 1 || head.hash !== record.prev)
      return fault('a checkpoint of another record')
    const wrong = signatureFault(head, this.#keys, headHolds)
    if (wrong !== undefined) return fault(wrong)
    this.checkpoints += 1
    this.lastCheckpoint = head
    return undefined
  }

  #tombstoneFault(record: AuditRecord): { kind: BadKind; detail: string } | undefined {
    const head = asSignedHead(record.data)
    const fault = (detail: string) => ({ kind: 'bad_checkpoint' as const, detail })
    if (head === undefined) return fault('a tombstone that is none')
    if (this.chain !== undefined && head.chain !== this.chain)
      return fault('a tombstone of another chain')
    const wrong = signatureFault(head, this.#keys, tombstoneHolds)
    if (wrong !== undefined) return fault(wrong)
    const gap = this.#unproven
    if (gap === undefined) return undefined
    const ends = [head, ...endsOf(record.data?.['segments'])]
    if (ends.some((end) => end.seq === gap.seq && end.hash === gap.hash)) this.#unproven = undefined
    return undefined
  }

  /** The chain is broken; later lines only tell how. */
  #afterBad(bad: Bad, seen: Seen | undefined): void {
    const whole = seen !== undefined && seen.computed === seen.record.hash
    if (this.#undecided) {
      this.#undecided = false
      const { seq, hash } = this.last ?? { seq: 0, hash: GENESIS }
      if (whole && seen.record.seq === seq + 1 && seen.record.prev === hash) {
        bad.kind = 'inserted'
        bad.seq = seq + 1
        bad.detail = `a line that does not belong between records ${seq} and ${seq + 1}`
      }
    }
    if (bad.kind === 'missing' && whole && seen.record.seq === bad.seq) {
      bad.kind = 'reordered'
      bad.detail = `record ${bad.seq} stands after later ones`
    }
    if (whole && seen.record.action === 'audit_tombstone') this.#tombstoneFault(seen.record)
  }

  #fail(
    line: Line,
    seq: number,
    kind: BadKind,
    detail: string,
    expected?: string,
    actual?: string,
  ): void {
    this.bad = { seq, kind, detail, file: this.#file, offset: line.offset }
    if (expected !== undefined) this.bad.expected = expected
    if (actual !== undefined) this.bad.actual = actual
  }
}

/** @returns What is wrong with the signature; undefined when it holds or no key was given. */
export function signatureFault(
  head: SignedHead,
  keys: ReadonlyMap<string, KeyObject>,
  holds: (head: SignedHead, key: KeyObject) => boolean,
): string | undefined {
  if (keys.size === 0) return undefined
  const key = keys.get(head.key_id)
  if (key === undefined) return `signed by an unknown key ${head.key_id}`
  return holds(head, key) ? undefined : 'the signature does not hold'
}

function read(line: Line): Seen | undefined {
  const record = line.text === undefined ? undefined : parseRecord(line.text)
  if (record === undefined || line.text === undefined) return undefined
  try {
    const form = canonicalOf(record, line.text)
    return { record, computed: form && linkHash(record.prev, form.head, form.rest) }
  } catch {
    return undefined // no canonical form: not written by us
  }
}

function selfReason(seen: Seen | undefined): [detail: string, expected?: string, actual?: string] {
  if (seen === undefined) return ['not a record']
  if (seen.computed === undefined) return ['not in canonical form']
  return ['its content does not have its hash', seen.record.hash, seen.computed]
}

function endsOf(value: unknown): Head[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item: unknown) => {
    if (item === null || typeof item !== 'object') return []
    const { last_seq, last_hash } = item as Record<string, unknown>
    return typeof last_seq === 'number' && typeof last_hash === 'string'
      ? [{ seq: last_seq, hash: last_hash }]
      : []
  })
}

function legacyOf(value: unknown): { file: string; sha256: string }[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item: unknown) => {
    if (item === null || typeof item !== 'object') return []
    const { file, sha256 } = item as Record<string, unknown>
    return typeof file === 'string' && typeof sha256 === 'string' ? [{ file, sha256 }] : []
  })
}

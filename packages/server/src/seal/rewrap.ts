/**
 * Moves records to the current term in the background. It keeps no position of its own: each record says which
 * term it is under, so a run that was cut short is resumed by starting again. @see wire contract §15.9
 */
import { asVestryError } from '@vestry/contract/errors'
import { type RecordKeys, type RecordPlace, recordTerm, rewrapRecord } from './record.ts'

const BATCH = 200

export interface RewrapRow<Cursor> {
  /** Names the row and its place in the order. */
  cursor: Cursor
  place: RecordPlace
  /** Empty for a destroyed version, which is passed over; undefined for a row that was altered. */
  record: Uint8Array | undefined
}

export interface Rewrapped<Cursor> {
  cursor: Cursor
  before: Uint8Array
  after: Uint8Array
}

/** The rows to go through, owned by whoever owns their table. */
export interface RewrapRows<Cursor> {
  /** Up to `limit` rows behind `after`, in a fixed order; none at the end. */
  next(after: Cursor | undefined, limit: number): Promise<readonly RewrapRow<Cursor>[]>
  /** Must write only where the row still holds `before`: a version destroyed meanwhile stays destroyed. */
  save(rows: readonly Rewrapped<Cursor>[]): Promise<void>
}

export interface RewrapReport<Cursor> {
  rewrapped: number
  /** Rows that were altered or did not open; they stay as they are. */
  broken: Cursor[]
}

/** @param signal Ends the run between two batches by rejecting with its reason. */
export async function rewrapAll<Cursor>(
  keys: RecordKeys,
  rows: RewrapRows<Cursor>,
  signal?: AbortSignal,
): Promise<RewrapReport<Cursor>> {
  const report: RewrapReport<Cursor> = { rewrapped: 0, broken: [] }
  let after: Cursor | undefined
  for (;;) {
    signal?.throwIfAborted()
    const batch = await rows.next(after, BATCH)
    const last = batch.at(-1)
    if (last === undefined) return report
    const moved = batch.flatMap((row) => move(keys, row, report))
    if (moved.length > 0) await rows.save(moved)
    report.rewrapped += moved.length
    after = last.cursor
  }
}

function move<Cursor>(
  keys: RecordKeys,
  { cursor, place, record: before }: RewrapRow<Cursor>,
  report: RewrapReport<Cursor>,
): Rewrapped<Cursor>[] {
  if (before === undefined) {
    report.broken.push(cursor)
    return []
  }
  if (before.length === 0) return []
  try {
    if (recordTerm(before) === keys.term) return []
    return [{ cursor, before, after: rewrapRecord(keys, place, before) }]
  } catch (error) {
    // Anything but a damaged record, such as a vault sealed meanwhile, ends the run.
    if (asVestryError(error).code !== 'SEAL_BROKEN') throw error
    report.broken.push(cursor)
    return []
  }
}

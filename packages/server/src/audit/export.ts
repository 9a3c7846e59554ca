/**
 * Takes a range out of the log in a form that proves itself elsewhere: the records' own lines, then one
 * trailer with the checkpoint that covers them. The format:
 *
 *     <record> … <record>          consecutive, from `from` to `to`
 *     {"audit_export":{"chain","from","to","last_hash","checkpoint"}}
 */
import { type FileHandle, open } from 'node:fs/promises'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import {
  asSignedHead,
  type Head,
  headHolds,
  keysById,
  type PublicKey,
  type SignedHead,
} from './chain.ts'
import { type Bad, ChainCheck, signatureFault } from './chain-check.ts'
import { readHeadFile } from './head-file.ts'
import { type Line, linesForward } from './lines.ts'
import { readLog, type Stored } from './query.ts'

/** Checkpoints are at most 1000 records apart while there is a key. */
const LOOK_AHEAD = 2000

export interface ExportRange {
  /** Inclusive; the whole log when absent. Times are epoch milliseconds, `untilMs` exclusive. */
  fromSeq?: number | undefined
  toSeq?: number | undefined
  sinceMs?: number | undefined
  untilMs?: number | undefined
}

export interface Exported {
  records: number
  fromSeq: number | undefined
  toSeq: number | undefined
  /** The signed head that covers records up to `seq`; records after it are chained but unsigned. */
  checkpoint: SignedHead | undefined
}

/**
 * The lines of an export, without newlines. A range by time begins at the first and ends at the last record
 * that lies in it. It goes on to the next checkpoint, so that a signature covers all that was asked for,
 * when there is one.
 */
export async function* exportLines(
  dir: string,
  range: ExportRange = {},
): AsyncGenerator<string, Exported> {
  const head = readHeadFile(dir)
  const state: Exported = {
    records: 0,
    fromSeq: undefined,
    toSeq: undefined,
    checkpoint: undefined,
  }
  let chain: string | undefined
  let end: Head | undefined
  let ahead: Stored[] = [] // beyond the range, kept only if a checkpoint follows soon
  const toSeq = await lastWanted(dir, range)
  const add = ({ record }: Stored) => {
    state.records += 1
    state.fromSeq ??= record.seq
    state.toSeq = record.seq
    end = { seq: record.seq, hash: record.hash }
    if (record.action === 'audit_open') chain ??= asText(record.data?.['chain'])
    if (record.action === 'audit_checkpoint') state.checkpoint = asSignedHead(record.data)
  }
  for await (const stored of readLog(dir, { fromSeq: Math.max(range.fromSeq ?? 1, 1) })) {
    const { record } = stored
    if (end === undefined && before(record.timestamp, range.sinceMs)) continue
    if (record.seq <= toSeq) {
      add(stored)
      yield stored.line
      continue
    }
    if (end === undefined || (state.checkpoint?.seq ?? 0) >= toSeq) break
    ahead.push(stored)
    if (record.action === 'audit_checkpoint') {
      for (const further of ahead) add(further)
      for (const further of ahead) yield further.line
      ahead = []
    } else if (ahead.length > LOOK_AHEAD) break
  }
  // audit.head may sign a later record than any checkpoint: after a close it signs the very last.
  if (head !== undefined && head !== 'garbled' && head.seq === end?.seq && head.hash === end.hash)
    state.checkpoint = head
  chain ??= state.checkpoint?.chain
  yield canonicalJson({
    audit_export: {
      chain: chain ?? null,
      from: state.fromSeq ?? null,
      to: state.toSeq ?? null,
      last_hash: end?.hash ?? null,
      checkpoint: state.checkpoint ?? null,
    },
  })
  return state
}

export interface ExportReport {
  status: 'intact' | 'broken'
  records: number
  /** Records up to here are covered by a signature; 0 when none is. */
  signedThrough: number
  signatures: 'checked' | 'not checked'
  bad: Bad | undefined
}

/**
 * @param publicKeys Without any, only the chain is checked.
 * @throws VestryError `INVALID_PARAMS` when the file is no export.
 */
export async function verifyExport(
  path: string,
  publicKeys: readonly PublicKey[] = [],
): Promise<ExportReport> {
  const keys = keysById(publicKeys)
  const trailer = await readTrailer(path)
  const checkpoint = trailer.checkpoint
  const check = new ChainCheck(keys, checkpoint === undefined ? [] : [checkpoint.seq], true)
  check.segment(path, 0)
  await eachLine(path, (line) => {
    if (line.offset !== trailer.offset) check.line(line)
  })
  check.finish()
  const bad = check.bad ?? trailerFault(trailer, check, keys)
  return {
    status: bad === undefined ? 'intact' : 'broken',
    records: check.entries,
    signedThrough: bad === undefined && keys.size > 0 ? (checkpoint?.seq ?? 0) : 0,
    signatures: keys.size > 0 ? 'checked' : 'not checked',
    bad,
  }
}

interface Trailer {
  offset: number
  chain: string | undefined
  from: number | undefined
  to: number | undefined
  lastHash: string | undefined
  checkpoint: SignedHead | undefined
}

function trailerFault(
  trailer: Trailer,
  check: ChainCheck,
  keys: ReturnType<typeof keysById>,
): Bad | undefined {
  const { chain, from, to, lastHash, checkpoint } = trailer
  const last = check.last?.seq ?? 0
  const fault = (kind: Bad['kind'], seq: number, detail: string): Bad => ({ kind, seq, detail })
  if (check.first?.seq !== from) return fault('missing', from ?? 1, 'the range begins later')
  if (check.last?.seq !== to || check.last?.hash !== lastHash)
    return fault('truncated', last + 1, `the export names record ${to} as its last`)
  if (check.chain !== undefined && chain !== undefined && check.chain !== chain)
    return fault('modified', from ?? 1, 'the records belong to another chain')
  if (checkpoint === undefined) return undefined
  const wrong = signatureFault(checkpoint, keys, headHolds)
  if (wrong !== undefined) return fault('bad_checkpoint', checkpoint.seq, wrong)
  if (check.chain !== undefined && checkpoint.chain !== check.chain)
    return fault('bad_checkpoint', checkpoint.seq, 'a checkpoint of another chain')
  const covers =
    checkpoint.seq === (from ?? 0) - 1 || check.hashAt(checkpoint.seq) === checkpoint.hash
  return covers ? undefined : fault('bad_checkpoint', checkpoint.seq, 'covers another record')
}

async function readTrailer(path: string): Promise<Trailer> {
  let last: Line | undefined
  await eachLine(path, (line) => {
    last = line
  })
  const fields = trailerFields(last?.text)
  if (last === undefined || fields === undefined)
    throw new VestryError('INVALID_PARAMS', 'The file is not an audit export', {
      hint: 'Its last line must be the trailer that `vestry audit export` wrote.',
    })
  const { chain, from, to, last_hash, checkpoint } = fields
  return {
    offset: last.offset,
    chain: asText(chain),
    from: typeof from === 'number' ? from : undefined,
    to: typeof to === 'number' ? to : undefined,
    lastHash: asText(last_hash),
    checkpoint: asSignedHead(checkpoint),
  }
}

function trailerFields(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    if (value === null || typeof value !== 'object' || !('audit_export' in value)) return undefined
    const fields = value.audit_export
    return fields === null || typeof fields !== 'object' ? undefined : { ...fields }
  } catch {
    return undefined
  }
}

async function eachLine(path: string, fn: (line: Line) => void): Promise<void> {
  const handle: FileHandle = await open(path, 'r')
  try {
    for await (const batch of linesForward(handle)) for (const line of batch) fn(line)
  } finally {
    await handle.close()
  }
}

/** Last `seq` asked for: a chain has no holes, so a range by time ends where its last record is. */
async function lastWanted(dir: string, range: ExportRange): Promise<number> {
  const bound = range.toSeq ?? Number.MAX_SAFE_INTEGER
  if (range.untilMs === undefined) return bound
  let last = 0
  for await (const { record } of readLog(dir, {
    filter: { sinceMs: range.sinceMs, untilMs: range.untilMs },
    fromSeq: Math.max(range.fromSeq ?? 1, 1),
  }))
    if (record.seq <= bound) last = record.seq
  return last
}

function before(timestamp: string, limitMs: number | undefined): boolean {
  return limitMs !== undefined && Date.parse(timestamp) < limitMs
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/**
 * Brings the files of a log into a state that can be appended to, and says what it found. Bytes are
 * never thrown away: what does not belong to the chain is moved to a file of its own first.
 */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  createReadStream,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { GENESIS, type Head, type SignedHead } from './chain.ts'
import { readHeadFile } from './head-file.ts'
import { linesForward } from './lines.ts'
import { type AuditRecord, parseRecord } from './record.ts'
import { ACTIVE, HEAD_FILE, listFiles, listSegments, syncDirectory } from './segment.ts'
import { readTail, type Tail } from './tail.ts'

/** How a new segment names the one before it. */
export interface PreviousSegment extends Head {
  file: string
}

/** Something the log must say about itself once it can be written. */
export interface Gap {
  detail: string
  data: Record<string, unknown>
}

export interface Recovered {
  chain: string
  /** The last record; `seq` 0 for a new chain. */
  head: Head
  /** Size of the active segment; 0 when it is still to be begun. */
  offset: number
  firstSeq: number
  openedAtMs: number
  previous: PreviousSegment | undefined
  /** Logs from before the chain, with the SHA-256 of each whole file. */
  legacy: { file: string; sha256: string }[]
  /** The writer before us closed the log. */
  clean: boolean
  gaps: Gap[]
  openIntents: AuditRecord[]
}

/**
 * @param acceptTruncated Go on although records that `audit.head` vouches for are missing; the loss
 *   becomes a record.
 * @throws VestryError `AUDIT_TRUNCATED`, `AUDIT_BROKEN`; nothing was changed then.
 */
export async function recoverLog(
  dir: string,
  now: () => number,
  acceptTruncated: boolean,
): Promise<Recovered> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  chmodSync(dir, 0o700)
  await setLegacyAside(dir)

  const witness = readHeadFile(dir)
  const head = witness === 'garbled' ? undefined : witness
  const segments = listSegments(dir)
  const tail = await readTail(segments, head)
  const finished = segments.some((segment) => segment.name !== ACTIVE)
  if (tail.last === undefined && finished) throw broken('its newest finished segment')
  const first = tail.holder === undefined ? undefined : await firstRecord(tail.holder.path)
  const chain = first?.data?.['chain']
  if (tail.last !== undefined && (first === undefined || typeof chain !== 'string'))
    throw broken('the first line of its newest segment')

  const gaps: Gap[] = []
  const loss = lossAgainst(head, tail, chain)
  if (loss !== undefined) {
    if (!acceptTruncated) throw truncated(loss)
    gaps.push(loss)
    const kept = `${HEAD_FILE}.${head?.seq ?? 0}`
    renameSync(join(dir, HEAD_FILE), join(dir, kept))
    loss.data['kept_head'] = kept
  }
  if (tail.excess > 0) gaps.push(moveExcess(dir, tail, now()))

  const started = tail.end > 0 && first !== undefined
  const { last, holder } = tail
  return {
    chain: typeof chain === 'string' ? chain : randomHex(16),
    head: last === undefined ? { seq: 0, hash: GENESIS } : { seq: last.seq, hash: last.hash },
    offset: tail.end,
    firstSeq: started ? first.seq : (last?.seq ?? 0) + 1,
    openedAtMs: started ? Date.parse(first.timestamp) : now(),
    previous:
      started || last === undefined || holder === undefined
        ? undefined
        : { file: holder.name, seq: last.seq, hash: last.hash },
    legacy: last === undefined ? await legacyFiles(dir) : [],
    clean: tail.clean,
    gaps,
    openIntents: tail.open,
  }
}

/** The first record of a segment, which says what chain it belongs to. */
export async function firstRecord(path: string): Promise<AuditRecord | undefined> {
  const handle = await open(path, 'r')
  try {
    return await firstRecordOf(handle)
  } finally {
    await handle.close()
  }
}

export async function firstRecordOf(handle: FileHandle): Promise<AuditRecord | undefined> {
  for await (const [line] of linesForward(handle))
    return line?.text === undefined ? undefined : parseRecord(line.text)
  return undefined
}

function lossAgainst(head: SignedHead | undefined, tail: Tail, chain: unknown): Gap | undefined {
  if (head === undefined) return undefined
  const seq = tail.last?.seq ?? 0
  const other = chain !== undefined && chain !== head.chain
  const replaced = tail.watched !== undefined && tail.watched !== head.hash
  if (!other && !replaced && head.seq <= seq) return undefined
  const what = other || replaced ? 'was replaced' : 'was cut'
  return {
    detail: `log ${what}: audit.head names record ${head.seq}, the log ends at ${seq}`,
    data: { reason: 'truncated', head_seq: head.seq, head_hash: head.hash, found_seq: seq },
  }
}

function truncated(loss: Gap): VestryError {
  return new VestryError('AUDIT_TRUNCATED', `The audit ${loss.detail}`, {
    hint: 'Restore the missing records from a backup, or accept the loss explicitly; it is then recorded.',
    context: loss.data,
  })
}

function broken(where: string): VestryError {
  return new VestryError('AUDIT_BROKEN', `The audit log cannot be continued: ${where} is damaged`, {
    hint: 'Run `vestry audit verify`, then restore the audit directory from a backup.',
  })
}

/** Copies what follows the last good record to a side file, durably, before it is cut off. */
function moveExcess(dir: string, tail: Tail, nowMs: number): Gap {
  const after = tail.last?.seq ?? 0
  const file = `audit-torn-${after}-${nowMs}.bin`
  const from = openSync(join(dir, ACTIVE), 'r+')
  try {
    const to = openSync(join(dir, file), 'wx', 0o600)
    try {
      const chunk = Buffer.allocUnsafe(65_536)
      for (let at = tail.end, size = -1; size !== 0; at += size) {
        size = readSync(from, chunk, 0, chunk.length, at)
        for (let done = 0; done < size; ) done += writeSync(to, chunk, done, size - done)
      }
      fsyncSync(to)
    } finally {
      closeSync(to)
    }
    syncDirectory(dir)
    ftruncateSync(from, tail.end)
    fsyncSync(from)
  } finally {
    closeSync(from)
  }
  return {
    detail: `${tail.excess} bytes after record ${after} were torn and moved to ${file}`,
    data: { reason: 'torn_tail', after_seq: after, bytes: tail.excess, file },
  }
}

/** A log of the older, unchained format is kept whole under another name. */
async function setLegacyAside(dir: string): Promise<void> {
  const { active, finished, legacy } = listFiles(dir)
  if (!active || finished.length > 0 || !(await isLegacy(join(dir, ACTIVE)))) return
  const name = `audit-legacy-${String(legacy.length + 1).padStart(4, '0')}.jsonl`
  renameSync(join(dir, ACTIVE), join(dir, name))
  syncDirectory(dir)
}

async function isLegacy(path: string): Promise<boolean> {
  const handle = await open(path, 'r')
  try {
    for await (const [line] of linesForward(handle)) return isLegacyLine(line?.text)
    return false
  } finally {
    await handle.close()
  }
}

function isLegacyLine(text: string | undefined): boolean {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return value !== null && typeof value === 'object' && 'action' in value && !('hash' in value)
  } catch {
    return false
  }
}

async function legacyFiles(dir: string): Promise<{ file: string; sha256: string }[]> {
  const out: { file: string; sha256: string }[] = []
  for (const file of listFiles(dir).legacy)
    out.push({ file, sha256: await fileDigest(join(dir, file)) })
  return out
}

/** SHA-256 of a whole file, hex. */
export async function fileDigest(path: string): Promise<string> {
  const digest = createHash('sha256')
  for await (const chunk of createReadStream(path)) digest.update(chunk)
  return digest.digest('hex')
}

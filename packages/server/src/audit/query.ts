/**
 * Reads the log: forwards through everything, or the newest records first. A line that is no record is
 * reported and skipped, never the end of the reading.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type AuditFilter, matches } from './filter.ts'
import { type Line, linesBackward, linesForward } from './lines.ts'
import { type AuditRecord, parseRecord } from './record.ts'
import { listFiles, listSegments, type Segment } from './segment.ts'

/** A record and where it is stored. */
export interface Stored {
  record: AuditRecord
  /** The line as stored, without newline. */
  line: string
  file: string
  offset: number
  /** Bytes. */
  length: number
}

export interface Malformed {
  file: string
  offset: number
  length: number
}

export interface ReadOptions {
  filter?: AuditFilter | undefined
  /** Called for each line that is no record. */
  onMalformed?: ((line: Malformed) => void) | undefined
  signal?: AbortSignal | undefined
  /** First `seq` wanted: segments that end before it are not opened. */
  fromSeq?: number | undefined
}

/** Oldest first; logs from before the chain come first, with `seq` 0 and `v` 1. */
export async function* readLog(
  dir: string,
  options: ReadOptions = {},
): AsyncGenerator<Stored, void> {
  const from = options.fromSeq ?? 0
  if (from === 0) {
    const legacy = listFiles(dir).legacy
    for (const name of legacy)
      yield* readFile({ name, path: join(dir, name), firstSeq: 0 }, 0, options, legacyRecord)
  }
  for (const segment of segmentsFrom(listSegments(dir), from)) {
    for await (const stored of readFile(segment, 0, options))
      if (stored.record.seq >= from) yield stored
  }
}

/** The newest `count` records that match, newest first. Reads from the end, as far as it must. */
export async function* readTailFirst(
  dir: string,
  count: number,
  options: ReadOptions = {},
): AsyncGenerator<Stored, void> {
  let left = count
  for (const segment of listSegments(dir).reverse()) {
    if (left <= 0) return
    const handle = await openIfThere(segment.path)
    if (handle === undefined) continue
    try {
      const { size } = await handle.stat()
      for await (const batch of linesBackward(handle, size)) {
        for (const line of batch) {
          options.signal?.throwIfAborted()
          const stored = accept(line, segment.name, options, parseRecord)
          if (stored === undefined) continue
          if (stored.record.seq < (options.fromSeq ?? 0)) return
          yield stored
          left -= 1
          if (left <= 0) return
        }
      }
    } finally {
      await handle.close()
    }
  }
}

/** One segment from a byte offset on. */
export async function* readFile(
  segment: Segment,
  offset: number,
  options: ReadOptions = {},
  parse: (text: string) => AuditRecord | undefined = parseRecord,
): AsyncGenerator<Stored, void> {
  const handle = await openIfThere(segment.path)
  if (handle === undefined) return
  try {
    for await (const batch of linesForward(handle, offset)) {
      for (const line of batch) {
        options.signal?.throwIfAborted()
        const stored = accept(line, segment.name, options, parse)
        if (stored !== undefined) yield stored
      }
    }
  } finally {
    await handle.close()
  }
}

/** The segments that can hold `seq` and what follows it. */
export function segmentsFrom(segments: readonly Segment[], seq: number): Segment[] {
  const later = segments.findIndex(({ firstSeq }) => firstSeq > seq)
  // The active segment, last, has no number in its name; when none begins later it may hold `seq`,
  // and so may the newest finished one.
  const first = later === -1 ? Math.max(segments.length - 2, 0) : Math.max(later - 1, 0)
  return segments.slice(first)
}

export function accept(
  line: Line,
  file: string,
  options: ReadOptions,
  parse: (text: string) => AuditRecord | undefined,
): Stored | undefined {
  const { offset, length, text } = line
  const record = text === undefined ? undefined : parse(text)
  if (record === undefined || text === undefined) {
    options.onMalformed?.({ file, offset, length })
    return undefined
  }
  if (options.filter !== undefined && !matches(options.filter, record, text)) return undefined
  return { record, line: text, file, offset, length }
}

/** A segment that was pruned between listing and opening is simply no longer part of the log. */
export async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}

/** A line of the older format: `timestamp pod_name action detail success agent?`. */
function legacyRecord(text: string): AuditRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (value === null || typeof value !== 'object') return undefined
  const { timestamp, pod_name, action, detail, success, agent } = value as Record<string, unknown>
  if (typeof timestamp !== 'string' || typeof action !== 'string') return undefined
  return {
    v: 1,
    seq: 0,
    timestamp,
    pod_name: typeof pod_name === 'string' ? pod_name : '',
    action,
    phase: 'single',
    detail: typeof detail === 'string' ? detail : '',
    success: success === true,
    actor: typeof agent === 'string' ? `agent:${agent}` : 'system',
    source: 'host',
    ...(typeof agent === 'string' && { agent }),
    prev: '',
    hash: '',
  }
}

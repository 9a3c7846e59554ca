/**
 * Proves, or refuses to claim, that a log is whole. Streams every segment in constant memory, needs
 * no daemon and no secret, and says which statement about a cut tail it is able to make.
 */
import { existsSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Head, headHolds, keysById, type PublicKey, type SignedHead } from './chain.ts'
import { type Bad, ChainCheck, signatureFault } from './chain-check.ts'
import { readHeadFile } from './head-file.ts'
import { linesForward } from './lines.ts'
import { fileDigest } from './recovery.ts'
import { ACTIVE, listSegments, type Segment } from './segment.ts'

export interface VerifyOptions {
  /** Keys that checkpoints may be signed with, Ed25519. Without any, signatures are not checked. */
  publicKeys?: readonly PublicKey[] | undefined
  /** The head that the store kept, a second witness against a cut tail. */
  storeHead?: Head | undefined
}

export interface VerifyReport {
  status: 'intact' | 'broken' | 'truncated' | 'unreadable'
  /** Records in the unbroken part, counted from the first one there. */
  entries: number
  segments: number
  chain: string | undefined
  firstSeq: number | undefined
  lastSeq: number | undefined
  lastHash: string | undefined
  /** RFC 3339. */
  firstTime: string | undefined
  lastTime: string | undefined
  checkpoints: number
  signatures: 'checked' | 'not checked'
  bad: Bad | undefined
  /** Unfinished last line: being written just now, or torn by a crash. Not part of the log. */
  torn: { file: string; offset: number } | undefined
  truncation: {
    checkedAgainst: ('head file' | 'store head')[]
    statement: string
  }
  /** Why the log could not be read, for `unreadable`. */
  problem: string | undefined
}

export async function verifyLog(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const keys = keysById(options.publicKeys ?? [])
  // Before the log: a writer at work only ever makes the log longer than this.
  const witness = attempt(() => readHeadFile(dir))
  const listed = attempt(() => listSegments(dir))
  if (witness instanceof Error) return unreadable(witness)
  if (listed instanceof Error) return unreadable(listed)
  const head = witness === 'garbled' ? undefined : witness
  const { storeHead } = options
  if (listed.length === 0 && head === undefined && storeHead === undefined)
    return unreadable(new Error('there is no log'))

  const watch = [head, storeHead].flatMap((end) => (end === undefined ? [] : [end.seq]))
  const check = new ChainCheck(keys, watch)
  let torn: VerifyReport['torn']
  try {
    torn = await feed(dir, listed, check)
  } catch (cause) {
    return unreadable(cause)
  }
  check.finish()

  const bad =
    check.bad ??
    (await legacyFault(dir, check)) ??
    headFault(witness, check, keys) ??
    endFault(storeHead, 'the store', check)
  return {
    status: bad === undefined ? 'intact' : bad.kind === 'truncated' ? 'truncated' : 'broken',
    entries: check.entries,
    segments: listed.length,
    chain: check.chain,
    firstSeq: check.first?.seq,
    lastSeq: check.last?.seq,
    lastHash: check.last?.hash,
    firstTime: check.first?.timestamp,
    lastTime: check.last?.timestamp,
    checkpoints: check.checkpoints,
    signatures: keys.size > 0 ? 'checked' : 'not checked',
    bad,
    torn,
    truncation: truncationClaim(head, storeHead, keys.size > 0, bad),
    problem: undefined,
  }
}

async function feed(
  dir: string,
  segments: readonly Segment[],
  check: ChainCheck,
): Promise<VerifyReport['torn']> {
  // Held from the start: when the writer rotates meanwhile, the file keeps its content, not its name.
  const active = existsSync(join(dir, ACTIVE)) ? await open(join(dir, ACTIVE), 'r') : undefined
  try {
    for (const { name, path, firstSeq } of segments) {
      const held = name === ACTIVE ? active : undefined
      const handle = held ?? (await open(path, 'r'))
      try {
        const torn = await feedFile(handle, name, firstSeq, check)
        if (torn !== undefined && name === ACTIVE) return torn
        if (torn !== undefined) check.line({ ...torn, length: 0, text: undefined })
      } finally {
        if (held === undefined) await handle.close()
      }
    }
    return undefined
  } finally {
    await active?.close()
  }
}

async function feedFile(
  handle: FileHandle,
  file: string,
  firstSeq: number,
  check: ChainCheck,
): Promise<{ file: string; offset: number } | undefined> {
  check.segment(file, firstSeq)
  const batches = linesForward(handle)
  let next = await batches.next()
  for (; !next.done; next = await batches.next()) for (const line of next.value) check.line(line)
  const { size } = await handle.stat()
  return size > next.value ? { file, offset: next.value } : undefined
}

async function legacyFault(dir: string, check: ChainCheck): Promise<Bad | undefined> {
  for (const { file, sha256 } of check.legacy) {
    const path = join(dir, file)
    const actual = existsSync(path) ? await fileDigest(path) : undefined
    if (actual === sha256) continue
    const kind = actual === undefined ? 'missing' : 'modified'
    const detail = `the log from before the chain is ${kind}`
    return {
      seq: 1,
      kind,
      detail,
      file,
      expected: sha256,
      ...(actual !== undefined && { actual }),
    }
  }
  return undefined
}

function headFault(
  witness: SignedHead | 'garbled' | undefined,
  check: ChainCheck,
  keys: ReturnType<typeof keysById>,
): Bad | undefined {
  if (witness === undefined) return undefined
  const seq = check.last?.seq ?? 0
  if (witness === 'garbled')
    return { seq, kind: 'bad_checkpoint', detail: 'audit.head holds no head', file: 'audit.head' }
  const wrong = signatureFault(witness, keys, headHolds)
  if (wrong !== undefined)
    return { seq: witness.seq, kind: 'bad_checkpoint', detail: wrong, file: 'audit.head' }
  if (check.chain !== undefined && witness.chain !== check.chain)
    return { seq: 1, kind: 'modified', detail: 'audit.head belongs to another chain' }
  return endFault(witness, 'audit.head', check)
}

function endFault(end: Head | undefined, who: string, check: ChainCheck): Bad | undefined {
  if (end === undefined || end.seq === 0) return undefined
  const last = check.last?.seq ?? 0
  if (end.seq > last) {
    const detail = `${who} names record ${end.seq}, the log ends at ${last}`
    return { seq: last + 1, kind: 'truncated', detail, expected: end.hash }
  }
  const actual = check.hashAt(end.seq)
  if (actual === end.hash || actual === undefined) return undefined
  const detail = `${who} saw another record ${end.seq}`
  return { seq: end.seq, kind: 'modified', detail, expected: end.hash, actual }
}

function truncationClaim(
  head: SignedHead | undefined,
  storeHead: Head | undefined,
  signed: boolean,
  bad: Bad | undefined,
): VerifyReport['truncation'] {
  const checkedAgainst: VerifyReport['truncation']['checkedAgainst'] = []
  if (head !== undefined) checkedAgainst.push('head file')
  if (storeHead !== undefined) checkedAgainst.push('store head')
  return { checkedAgainst, statement: statementOf(head, storeHead, signed, bad) }
}

function statementOf(
  head: SignedHead | undefined,
  storeHead: Head | undefined,
  signed: boolean,
  bad: Bad | undefined,
): string {
  if (bad?.kind === 'truncated') return `Records from ${bad.seq} on were cut off: ${bad.detail}.`
  if (bad !== undefined) return 'The chain is broken, so nothing is claimed about its end.'
  if (head === undefined && storeHead === undefined)
    return 'No claim about the end: neither audit.head nor a head from the store was at hand, and a chain alone cannot show that its last records were removed.'
  const through = Math.max(head?.seq ?? 0, storeHead?.seq ?? 0)
  const by = [
    ...(head === undefined ? [] : [signed ? 'the signed audit.head' : 'audit.head (unchecked)']),
    ...(storeHead === undefined ? [] : ['the head kept in the store']),
  ].join(' and ')
  return `Nothing was cut off up to record ${through}, according to ${by}. Later records, if any were removed, would not be missed.`
}

function attempt<T>(fn: () => T): T | Error {
  try {
    return fn()
  } catch (cause) {
    return cause instanceof Error ? cause : new Error(String(cause))
  }
}

function unreadable(cause: unknown): VerifyReport {
  const problem = cause instanceof Error ? cause.message : String(cause)
  return {
    status: 'unreadable',
    entries: 0,
    segments: 0,
    chain: undefined,
    firstSeq: undefined,
    lastSeq: undefined,
    lastHash: undefined,
    firstTime: undefined,
    lastTime: undefined,
    checkpoints: 0,
    signatures: 'not checked',
    bad: undefined,
    torn: undefined,
    truncation: { checkedAgainst: [], statement: 'Nothing could be read, so nothing is claimed.' },
    problem,
  }
}

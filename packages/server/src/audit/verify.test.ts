import { generateKeyPairSync, hash } from 'node:crypto'
import {
  cpSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canonicalJson } from '@vestry/contract/canonical'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Head, linkHash, type Signer } from './chain.ts'
import { AuditLog } from './log.ts'
import type { AuditRecord } from './record.ts'
import { type VerifyReport, verifyLog } from './verify.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ed25519')
const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
const signer: Signer = { privateKey, id: hash('sha256', raw) }
const publicKeys = [new Uint8Array(raw)]

const dir = mkdtempDisposableSync(`${tmpdir()}/verify-`)
const original = join(dir.path, 'original')
let lastSeq = 0

/** Three segments, checkpoints, a head that covers the last record. */
beforeAll(async () => {
  const log = await AuditLog.open({
    dir: original,
    podName: 'ledger',
    now: Date.now,
    limits: { checkpointRecords: 7 },
  })
  log.setSigner(signer)
  for (let n = 0; n < 60; n += 1) {
    await log.append(
      {
        action: 'credential.use',
        phase: 'single',
        detail: `Grüße ${n} \ufffd`,
        success: true,
        actor: 'agent:scout',
        source: 'vault',
        data: { path: `openai/${n}`, nested: [{ hash: 'x' }] },
      },
      'synced',
    )
    if (n === 20 || n === 40) await log.rotate()
  }
  await log.close()
  lastSeq = log.head().seq
})
afterAll(() => dir.remove())

type Lines = { file: string; lines: string[] }[]

/** Verifies a copy of the log after `change` had its way with it. */
async function verifyChanged(
  change: (segments: Lines, copy: string) => void,
  options: { storeHead?: Head; publicKeys?: readonly Uint8Array[] } = {},
): Promise<VerifyReport> {
  using scratch = mkdtempDisposableSync(`${tmpdir()}/verify-`)
  const copy = join(scratch.path, 'audit')
  cpSync(original, copy, { recursive: true })
  const files = readdirSync(copy).filter((name) => name.endsWith('.jsonl'))
  const segments = files.sort().map((file) => ({
    file,
    lines: readFileSync(join(copy, file), 'utf8').split('\n').slice(0, -1),
  }))
  change(segments, copy)
  for (const { file, lines } of segments)
    writeFileSync(join(copy, file), lines.map((line) => `${line}\n`).join(''))
  return await verifyLog(copy, { publicKeys, ...options })
}

/** The n-th record of the whole log, 0-based, for tests that pick one at random. */
function pick(segments: Lines, n: number) {
  let at = n
  for (const segment of segments) {
    if (at < segment.lines.length) return { ...segment, at }
    at -= segment.lines.length
  }
  throw new RangeError(`no record ${n}`)
}

const anyRecord = () => fc.integer({ min: 0, max: lastSeq - 1 })
const check = <T extends unknown[]>(property: fc.IAsyncPropertyWithHooks<T>): Promise<void> =>
  fc.assert(property, { numRuns: 40 })

test('an untouched log is intact, and the report says what that covers', async () => {
  const report = await verifyLog(original, { publicKeys, storeHead: await lastHead() })
  expect(report).toMatchObject({
    status: 'intact',
    entries: lastSeq,
    segments: 3,
    firstSeq: 1,
    lastSeq,
    signatures: 'checked',
    bad: undefined,
  })
  expect(report.truncation.checkedAgainst).toEqual(['head file', 'store head'])
  expect(report.truncation.statement).toContain(`up to record ${lastSeq}`)
  expect(report.checkpoints).toBeGreaterThan(7)
})

test('vault §28.51, telemetry §16.33: a modified byte anywhere is found', async () => {
  await check(
    fc.asyncProperty(
      anyRecord(),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.nat(254),
      async (n, where, by) => {
        const report = await verifyChanged((segments, copy) => {
          const { file, lines, at } = pick(segments, n)
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
          const start = Buffer.byteLength(
            lines
              .slice(0, at)
              .map((line) => `${line}\n`)
              .join(''),
          )
          const length = Buffer.byteLength(lines[at] ?? '')
          const place = start + Math.floor(where * length)
          bytes[place] = ((bytes[place] ?? 0) + 1 + by) % 256
          writeFileSync(join(copy, file), bytes)
          segments.splice(0)
        })
        expect(report.status).toBe('broken')
        expect(report.bad).toMatchObject({ kind: 'modified', seq: n + 1 })
      },
    ),
  )
})

test('vault §28.51, telemetry §16.33: a removed line is missing, or the log is truncated when it was the last', async () => {
  await check(
    fc.asyncProperty(anyRecord(), async (n) => {
      const { bad, status } = await verifyChanged((segments) => {
        const { lines, at } = pick(segments, n)
        lines.splice(at, 1)
      })
      const kind = n === lastSeq - 1 ? 'truncated' : 'missing'
      expect(bad).toMatchObject({ kind, seq: n + 1 })
      expect(status).toBe(kind === 'truncated' ? 'truncated' : 'broken')
    }),
  )
})

test('vault §28.51, telemetry §16.33: an inserted line is found, be it a copy, a forgery or noise', async () => {
  await check(
    fc.asyncProperty(anyRecord(), fc.constantFrom('copy', 'forged', 'noise'), async (n, how) => {
      const { bad } = await verifyChanged((segments) => {
        const { lines, at } = pick(segments, n)
        const line = lines[at] ?? ''
        const forged = reseal({ ...parse(line), detail: 'never happened' })
        lines.splice(at, 0, how === 'copy' ? line : how === 'forged' ? forged : '{"noise":1}')
      })
      expect(bad).toMatchObject({ kind: 'inserted', seq: n + 1 })
    }),
  )
})

test('vault §28.51, telemetry §16.33: swapped lines are found', async () => {
  await check(
    fc.asyncProperty(anyRecord(), anyRecord(), async (a, b) => {
      fc.pre(a !== b)
      const { bad, status } = await verifyChanged((segments) => {
        const [one, two] = [pick(segments, a), pick(segments, b)]
        const line = one.lines[one.at] ?? ''
        one.lines[one.at] = two.lines[two.at] ?? ''
        two.lines[two.at] = line
      })
      expect(status).toBe('broken')
      expect(bad).toMatchObject({ kind: 'reordered', seq: Math.min(a, b) + 1 })
    }),
  )
})

test('vault §28.51, telemetry §16.33: a removed tail is truncation, by audit.head or by the head in the store', async () => {
  const storeHead = await lastHead()
  await check(
    fc.asyncProperty(fc.integer({ min: 1, max: 15 }), fc.boolean(), async (count, byStore) => {
      const report = await verifyChanged(
        (segments, copy) => {
          segments[2]?.lines.splice(-count)
          if (byStore) rmSync(join(copy, 'audit.head'))
        },
        byStore ? { storeHead } : {},
      )
      expect(report).toMatchObject({ status: 'truncated', lastSeq: lastSeq - count })
      expect(report.bad).toMatchObject({ kind: 'truncated', seq: lastSeq - count + 1 })
    }),
  )
})

test('telemetry §16.33: without any head a cut tail goes unseen, and the report says that it would', async () => {
  const report = await verifyChanged((segments, copy) => {
    segments[2]?.lines.splice(-5)
    rmSync(join(copy, 'audit.head'))
  })
  expect(report.status).toBe('intact')
  expect(report.truncation.checkedAgainst).toEqual([])
  expect(report.truncation.statement).toMatch(/^No claim about the end/)
})

test('vault §28.51: a removed segment is found, whichever it is', async () => {
  for (const gone of [0, 1, 2]) {
    const report = await verifyChanged((segments, copy) => {
      const [segment] = segments.splice(gone, 1)
      rmSync(join(copy, segment?.file ?? ''))
    })
    expect(report.bad?.kind).toBe(gone === 2 ? 'truncated' : 'missing')
    expect(report.bad?.seq).toBe(gone === 0 ? 1 : (report.lastSeq ?? 0) + 1)
  }
})

test('a history rewritten from some record on, hashes and all, is betrayed by its checkpoints', async () => {
  const rewrite = (segments: Lines) => {
    let prev = ''
    for (const { lines } of segments)
      for (const [at, line] of lines.entries()) {
        const record = parse(line)
        if (record.seq === 5) record.detail = 'nothing to see'
        if (record.seq > 5) record.prev = prev
        if (record.action === 'audit_checkpoint' && record.data) record.data['hash'] = record.prev
        lines[at] = reseal(record)
        prev = parse(lines[at] ?? '').hash
      }
  }
  expect((await verifyChanged(rewrite)).bad).toMatchObject({ kind: 'bad_checkpoint' })
  // Without the public key nothing in the log tells; its head file and the store's do.
  const blind = await verifyChanged(rewrite, { publicKeys: [] })
  expect(blind).toMatchObject({ status: 'broken', signatures: 'not checked' })
})

test('a rewritten record whose own hash fits is named, not the one after it', async () => {
  const { bad } = await verifyChanged((segments) => {
    const { lines, at } = pick(segments, 9)
    lines[at] = reseal({ ...parse(lines[at] ?? ''), detail: 'softened' })
  })
  expect(bad).toMatchObject({ kind: 'modified', seq: 10 })
  expect(bad?.expected).not.toBe(bad?.actual)
})

test('checkpoints signed by another key, and an audit.head that was tampered with, are bad', async () => {
  const foreign = new Uint8Array(
    Buffer.from(other.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
  )
  const report = await verifyChanged(() => {}, { publicKeys: [foreign] })
  expect(report.bad).toMatchObject({ kind: 'bad_checkpoint' })
  const head = await verifyChanged((_, copy) => {
    const path = join(copy, 'audit.head')
    writeFileSync(path, readFileSync(path, 'utf8').replace('"timestamp":"2', '"timestamp":"3'))
  })
  expect(head.bad).toMatchObject({ kind: 'bad_checkpoint', file: 'audit.head' })
  const garbled = await verifyChanged((_, copy) => writeFileSync(join(copy, 'audit.head'), '{'))
  expect(garbled.bad).toMatchObject({ kind: 'bad_checkpoint', file: 'audit.head' })
})

test('an unfinished last line is reported and does not break the log', async () => {
  const report = await verifyChanged((segments, copy) => {
    const active = segments.pop()
    const text = `${active?.lines.map((line) => `${line}\n`).join('')}{"act`
    writeFileSync(join(copy, 'audit.jsonl'), text)
  })
  expect(report).toMatchObject({ status: 'intact', torn: { file: 'audit.jsonl' } })
})

test('where there is no log, verify says that it could read none', async () => {
  expect(await verifyLog(join(dir.path, 'nowhere'))).toMatchObject({ status: 'unreadable' })
  using empty = mkdtempDisposableSync(`${tmpdir()}/verify-`)
  expect(await verifyLog(empty.path)).toMatchObject({
    status: 'unreadable',
    problem: 'there is no log',
  })
  expect(await verifyLog(empty.path, { storeHead: { seq: 3, hash: 'x' } })).toMatchObject({
    status: 'truncated',
  })
})

async function lastHead(): Promise<Head> {
  const report = await verifyLog(original)
  return { seq: report.lastSeq ?? 0, hash: report.lastHash ?? '' }
}

function parse(line: string): AuditRecord {
  return JSON.parse(line) as AuditRecord
}

/** A record changed by somebody who can compute hashes but not sign. */
function reseal(record: AuditRecord): string {
  const { hash: _, ...rest } = record
  return canonicalJson({ ...rest, hash: linkHash(record.prev, canonicalJson(rest), '') })
}

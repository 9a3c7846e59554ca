import { generateKeyPairSync, hash } from 'node:crypto'
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Exported, type ExportRange, exportLines, verifyExport } from './export.ts'
import { AuditLog } from './log.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const signer = {
  privateKey,
  id: hash('sha256', Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')),
}
const START = 1_700_000_000_000

async function filled(signed: boolean) {
  const scratch = mkdtempDisposableSync(`${tmpdir()}/export-`)
  onTestFinished(() => scratch.remove())
  const dir = join(scratch.path, 'audit')
  let nowMs = START
  const log = await AuditLog.open({
    dir,
    podName: 'ledger',
    now: () => nowMs,
    limits: { checkpointRecords: 10 },
  })
  if (signed) log.setSigner(signer)
  for (let n = 1; n <= 50; n += 1) {
    nowMs += 1000
    await log.append(
      {
        action: 'credential.use',
        phase: 'single',
        detail: `call ${n}`,
        success: true,
        actor: 'system',
        source: 'vault',
      },
      'synced',
    )
    if (n === 25) await log.rotate()
  }
  await log.close()
  return { dir, file: join(scratch.path, 'export.jsonl') }
}

async function exported(dir: string, file: string, range?: ExportRange): Promise<Exported> {
  const lines = exportLines(dir, range)
  let text = ''
  let next = await lines.next()
  for (; !next.done; next = await lines.next()) text += `${next.value}\n`
  writeFileSync(file, text)
  return next.value
}

test('a whole export proves itself elsewhere, down to the last record', async () => {
  const { dir, file } = await filled(true)
  const { records, toSeq } = await exported(dir, file)
  expect(await verifyExport(file, [publicKey])).toEqual({
    status: 'intact',
    records,
    signedThrough: toSeq,
    signatures: 'checked',
    bad: undefined,
  })
})

test('a range goes on to the checkpoint that covers it', async () => {
  const { dir, file } = await filled(true)
  const { fromSeq, toSeq } = await exported(dir, file, { fromSeq: 15, toSeq: 30 })
  expect(fromSeq).toBe(15)
  expect(toSeq).toBeGreaterThanOrEqual(30)
  const report = await verifyExport(file, [publicKey])
  expect(report.status).toBe('intact')
  expect(report.signedThrough).toBeGreaterThanOrEqual(30)
})

test('a range by time begins and ends with its own records', async () => {
  const { dir, file } = await filled(false)
  await exported(dir, file, { sinceMs: START + 10_000, untilMs: START + 20_000 })
  const details = readFileSync(file, 'utf8').match(/call \d+/g)
  expect(details).toEqual(Array.from({ length: 10 }, (_, n) => `call ${n + 10}`))
  expect(await verifyExport(file, [publicKey])).toMatchObject({
    status: 'intact',
    records: 10,
    signedThrough: 0,
  })
})

test('a range without records is an empty export', async () => {
  const { dir, file } = await filled(true)
  expect(await exported(dir, file, { untilMs: 1 })).toMatchObject({ records: 0 })
  expect(await verifyExport(file)).toMatchObject({ status: 'intact', records: 0 })
})

test('an export that was tampered with does not verify', async () => {
  const { dir, file } = await filled(true)
  await exported(dir, file, { fromSeq: 5, toSeq: 30 })
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  const verdict = async (changed: string[]) => {
    writeFileSync(file, changed.map((line) => `${line}\n`).join(''))
    const { status, bad } = await verifyExport(file, [publicKey])
    return status === 'broken' && bad?.kind
  }
  expect(await verdict(lines.with(7, (lines[7] ?? '').replace('call', 'cell')))).toBe('modified')
  expect(await verdict(lines.toSpliced(7, 1))).toBe('missing')
  expect(await verdict(lines.toSpliced(0, 1))).toBe('missing')
  expect(await verdict(lines.toSpliced(-2, 1))).toBe('truncated')
  expect(await verdict(lines.toSpliced(9, 0, lines[9] ?? ''))).toBe('inserted')
  const trailer = (lines.at(-1) ?? '').replace(/"signature":"..../, '"signature":"AAAA')
  expect(await verdict(lines.with(-1, trailer))).toBe('bad_checkpoint')
  expect(await verdict(lines)).toBe(false)
})

test('a file that is no export is refused', async () => {
  const { dir, file } = await filled(true)
  writeFileSync(file, readFileSync(join(dir, 'audit.jsonl')))
  await expect(verifyExport(file)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
})

/**
 * How fast is the audit log? Appends (written), group commit (synced, 64 callers), one caller alone, and
 * verify; against plain hashing and against one fdatasync per record on the same disk.
 */
import { generateKeyPairSync, hash } from 'node:crypto'
import {
  closeSync,
  fdatasyncSync,
  mkdtempDisposableSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuditLog } from '../packages/server/src/audit/log.ts'
import type { AuditEntry } from '../packages/server/src/audit/record.ts'
import { verifyLog } from '../packages/server/src/audit/verify.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
const signer = { privateKey, id: hash('sha256', raw) }

using scratch = mkdtempDisposableSync(join(tmpdir(), 'bench-audit-'))
const dir = join(scratch.path, 'audit')

/** An intent as `retrieve` writes it. */
function entry(n: number): AuditEntry {
  return {
    action: 'credential.retrieve',
    phase: 'single',
    detail: 'retrieve openai/production',
    success: true,
    actor: 'agent:scout',
    agent: 'scout',
    source: 'vault',
    pid: 4242,
    uid: 1000,
    request_id: `r-${n}`,
    txn: 'txn_0123456789abcdef0123456789abcdef',
    span: {
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      span_id: 'b7ad6b7169203331',
      parent_span_id: '',
    },
    decision: {
      id: 'dec_0123456789abcdef01234567',
      allow: true,
      policies: ['vault:scout-openai'],
      reason: 'allowed by vault:scout-openai',
      policy_set: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    },
    data: {
      path: 'openai/production',
      version: 3,
      ttl: 300,
      lease: 'hmac:0123456789abcdef0123456789abcdef',
    },
  }
}

async function appends(count: number, together: number, durability: 'synced' | 'written') {
  rmSync(dir, { recursive: true, force: true })
  const log = await AuditLog.open({ dir, podName: 'bench', now: Date.now })
  log.setSigner(signer)
  let next = 0
  const waits = new Float64Array(count)
  const caller = async () => {
    while (next < count) {
      const n = next++
      const begin = performance.now()
      await log.append(entry(n), durability)
      waits[n] = performance.now() - begin
    }
  }
  await Promise.all(Array.from({ length: 256 }, () => log.append(entry(0), durability))) // warm up
  const begin = performance.now()
  const cpu = process.cpuUsage()
  await Promise.all(Array.from({ length: together }, caller))
  const seconds = (performance.now() - begin) / 1000
  const { user, system } = process.cpuUsage(cpu)
  await log.close()
  waits.sort()
  return {
    rate: count / seconds,
    p50: waits[count >> 1] ?? 0,
    p99: waits[Math.floor(count * 0.99)] ?? 0,
    cores: (user + system) / 1e6 / seconds,
  }
}

/** Per second of wall clock, and per second of processor time: the machine may be busy with others. */
function report(name: string, r: Awaited<ReturnType<typeof appends>>): void {
  const perCore = thousands(r.rate / r.cores)
  console.log(
    `${name.padEnd(34)} ${thousands(r.rate)}/s  ${perCore}/core·s  p50 ${r.p50.toFixed(3)} ms  p99 ${r.p99.toFixed(3)} ms`,
  )
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en').padStart(9)
}

console.log(`${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`)

const line = Buffer.from(`${JSON.stringify(entry(1))}\n`)
const baseline = openSync(join(scratch.path, 'baseline'), 'a')
let begin = performance.now()
for (let n = 0; n < 2000; n += 1) {
  writeSync(baseline, line)
  fdatasyncSync(baseline)
}
const perRecord = 2000 / ((performance.now() - begin) / 1000)
closeSync(baseline)
begin = performance.now()
for (let n = 0; n < 200_000; n += 1) hash('sha256', line)
const hashes = 200_000 / ((performance.now() - begin) / 1000)
console.log(`baseline: one fdatasync per record ${thousands(perRecord)}/s`)
console.log(`baseline: SHA-256 alone ${thousands(hashes)}/s`)

await appends(20_000, 256, 'written')
const written = await appends(300_000, 1000, 'written')
report('append, written, 1000 callers', written)

const bytes = readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)
for (const publicKeys of [[], [publicKey]]) {
  begin = performance.now()
  const cpu = process.cpuUsage()
  const verified = await verifyLog(dir, { publicKeys })
  const seconds = (performance.now() - begin) / 1000
  if (verified.status !== 'intact') throw new Error(`verify says ${verified.status}`)
  const { user, system } = process.cpuUsage(cpu)
  const perCore = thousands(verified.entries / ((user + system) / 1e6))
  console.log(
    `verify, signatures ${verified.signatures.padEnd(12)}    ${thousands(verified.entries / seconds)}/s  ${perCore}/core·s  ${Math.round(bytes / seconds / 1e6)} MB/s`,
  )
}

report('append, synced, 64 callers', await appends(100_000, 64, 'synced'))
report('append, synced, 1 caller', await appends(3_000, 1, 'synced'))
report('append, written, 1 caller', await appends(20_000, 1, 'written'))
console.log(
  `ratios: written ${(written.rate / written.cores / 50_000).toFixed(1)}× the bar of 50 000/core·s, ${(written.rate / perRecord).toFixed(0)}× one fdatasync per record`,
)

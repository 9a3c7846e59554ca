/** Reading the record: query, tail, verify, export, checkpoint, prune; and why one decision was made. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { exportLines } from '../audit/export.ts'
import type { AuditFilter } from '../audit/filter.ts'
import { followLog } from '../audit/follow.ts'
import { readTailFirst } from '../audit/query.ts'
import type { AuditRecord } from '../audit/record.ts'
import { verifyLog } from '../audit/verify.ts'
import { explainRecord } from '../policy/why.ts'
import { hmacTag } from '../seal/hash.ts'
import { describeReport } from './audit-report.ts'
import type { AdminDeps } from './deps.ts'
import { namesCall, recordedUnder } from './recorded-under.ts'
import { type AdminVerb, verb } from './verb.ts'

const Filter = {
  agent: z.string().max(128).optional(),
  actor: z.string().max(128).optional(),
  action: z.string().max(128).optional(),
  source: z.string().max(32).optional(),
  path: z.string().max(512).optional(),
  /** Epoch ms. */
  since: z.int().optional(),
  until: z.int().optional(),
  denied: z.boolean().optional(),
  anonymous: z.boolean().optional(),
  request_id: z.string().max(128).optional(),
  txn: z.string().max(128).optional(),
  trace_id: z.string().max(128).optional(),
  decision_id: z.string().max(128).optional(),
}
const FilterSchema = z.strictObject(Filter)

function filterOf(params: z.output<typeof FilterSchema>): AuditFilter {
  return {
    agent: params.agent,
    actor: params.actor,
    action: params.action,
    source: params.source,
    path: params.path,
    sinceMs: params.since,
    untilMs: params.until,
    denied: params.denied,
    anonymous: params.anonymous,
    requestId: params.request_id,
    txn: params.txn,
    traceId: params.trace_id,
    decisionId: params.decision_id,
  }
}

/** Records a frame carries, so that none comes near the limit. */
const FRAME_RECORDS = 200
const FRAME_BYTES = 1_000_000

export const auditVerbs: readonly AdminVerb[] = [
  verb({
    name: 'audit.query',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ ...Filter, limit: z.int().min(1).max(5_000).default(100) }),
    run: async ({ deps, params, signal }) => {
      const { limit, ...rest } = params
      const records: AuditRecord[] = []
      let bytes = 0
      let truncated = false
      const { dir } = deps.vault.stations.audit
      for await (const { record, line } of readTailFirst(dir, limit, {
        filter: filterOf(rest),
        signal,
      })) {
        bytes += line.length
        if (bytes > 3_000_000) {
          truncated = true
          break
        }
        records.push(record)
      }
      return { records: records.reverse(), truncated }
    },
  }),
  verb({
    name: 'audit.tail',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({
      ...Filter,
      n: z.int().min(0).max(5_000).default(20),
      follow: z.boolean().default(false),
    }),
    run: async ({ deps, params, signal, emit }) => {
      const { n, follow, ...rest } = params
      const filter = filterOf(rest)
      const { audit } = deps.vault.stations
      await audit.flush()
      const newest: AuditRecord[] = []
      for await (const { record } of readTailFirst(audit.dir, n, { filter, signal }))
        newest.push(record)
      newest.reverse()
      for (let at = 0; at < newest.length; at += FRAME_RECORDS) {
        await emit({ records: newest.slice(at, at + FRAME_RECORDS) })
      }
      if (!follow) return { records: [], more: false }
      const afterSeq = newest.at(-1)?.seq ?? audit.head().seq
      for await (const { record } of followLog(audit.dir, { filter, signal, afterSeq })) {
        await emit({ records: [record] })
      }
      return { records: [], more: false }
    },
  }),
  verb({
    name: 'audit.verify',
    action: 'admin:read',
    event: 'audit.verify',
    params: z.strictObject({}),
    run: async ({ deps }) => {
      const { audit } = deps.vault.stations
      await audit.flush()
      const { publicKey } = deps.vault.seal.keys.serverKey
      const report = await verifyLog(audit.dir, {
        publicKeys: [publicKey],
        storeHead: await deps.lifecycle.storeHead(),
      })
      return describeReport(report)
    },
  }),
  verb({
    name: 'audit.export',
    action: 'admin:read',
    event: 'audit.export',
    params: z.strictObject({
      from_seq: z.int().min(0).optional(),
      to_seq: z.int().min(0).optional(),
      since: z.int().optional(),
      until: z.int().optional(),
    }),
    run: async ({ deps, params, emit, note }) => {
      const { audit } = deps.vault.stations
      await audit.flush()
      let lines: string[] = []
      let bytes = 0
      let count = 0
      const range = {
        fromSeq: params.from_seq,
        toSeq: params.to_seq,
        sinceMs: params.since,
        untilMs: params.until,
      }
      for await (const line of exportLines(audit.dir, range)) {
        lines.push(line)
        bytes += line.length
        count += 1
        if (bytes < FRAME_BYTES) continue
        await emit({ lines })
        lines = []
        bytes = 0
      }
      note({ count })
      return { lines, count, more: false, public_key: serverPublicKeyHex(deps) }
    },
  }),
  verb({
    name: 'audit.checkpoint',
    action: 'admin:write',
    event: 'audit.checkpoint',
    params: z.strictObject({}),
    run: async ({ deps }) => ({
      ...(await deps.vault.stations.audit.checkpoint()),
      public_key: serverPublicKeyHex(deps),
    }),
  }),
  verb({
    name: 'audit.prune',
    action: 'admin:seal',
    event: 'audit.prune',
    params: z.strictObject({ before: z.int().min(0) }),
    data: ({ before }) => ({ before: new Date(before).toISOString() }),
    run: async ({ deps, params, note }) => {
      const pruned = await deps.vault.stations.audit.prune(params.before)
      note({ files: pruned.files })
      return { files: pruned.files, through_seq: pruned.throughSeq ?? null }
    },
  }),
  verb({
    name: 'why',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ id: z.string().min(1).max(128) }),
    run: async ({ deps, params, signal }) => {
      const records = await recordedUnder(deps, recordedId(deps, params.id), signal)
      const record = records.find(
        (one) => one.decision !== undefined && namesCall(one, recordedId(deps, params.id)),
      )
      if (record?.decision === undefined) throw unknownId(params.id)
      const outcome = records.find(
        ({ phase, request_id, outcome }) =>
          outcome !== undefined && phase !== 'intent' && request_id === record.request_id,
      )?.outcome
      const policies = await deps.policies
        .policySet(record.decision.policy_set)
        .catch(() => undefined)
      const text = explainRecord(
        {
          timestamp: Date.parse(record.timestamp),
          actor: record.actor,
          action: record.action,
          detail: record.detail,
          data: record.data,
          decision: record.decision,
          outcome,
        },
        policies,
      )
      return { id: params.id, text, record: { ...record } }
    },
  }),
]

/** Ids of jobs are secrets: the log knows them by keyed hash. */
function recordedId({ vault }: AdminDeps, id: string): string {
  return id.startsWith('job_') ? hmacTag(vault.seal.keys.hashKey, id) : id
}

function serverPublicKeyHex({ vault }: AdminDeps): string {
  return Buffer.from(vault.seal.keys.serverKey.publicKey).toString('hex')
}

function unknownId(id: string): VestryError {
  return new VestryError('NOT_FOUND', `nothing was recorded under '${id}'`, {
    hint: 'Give a trace, transaction, request, decision, correlation, token or job id, as errors and "vestry audit tail" show them. The last three are looked for in the newest records only',
  })
}

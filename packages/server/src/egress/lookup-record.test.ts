import { expect, test } from 'vitest'
import type { AuditEntry } from '../audit/record.ts'
import type { Caller } from '../identity/caller.ts'
import { recordsLookups } from './lookup-record.ts'
import type { Lookup } from './resolve.ts'
import { send } from './send.ts'
import { createWorld, requestFor } from './testing/world.ts'

const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), parentSpanId: 'c'.repeat(16) }
const caller = {
  principal: { kind: 'agent', agent: { name: 'scout' } },
  peer: { transport: 'unix', pid: 4_711, uid: 60_000 },
  txn: 'txn_1',
  trace,
} as unknown as Caller

/** What is heard of the lookups of one request, whatever becomes of it. */
async function heard(url: string, options: Parameters<typeof createWorld>[0] = {}) {
  await using world = createWorld(options)
  const lookups: Lookup[] = []
  await send(requestFor(url, { onLookup: (lookup) => lookups.push(lookup) }), world.deps).catch(
    () => undefined,
  )
  return lookups
}

test('each name that is resolved is told once, with how many addresses it has', async () => {
  // Nobody listens there: the lookup is what counts.
  const names = { 'api.example': ['127.0.0.1', '127.0.0.1'] }
  expect(await heard('http://api.example:9/', { names })).toEqual([
    { host: 'api.example', decision: 'allow', addresses: 2, latencyMs: expect.any(Number) },
  ])
})

test('an address that stands in the URL is no lookup', async () => {
  expect(await heard('http://127.0.0.1:9/')).toEqual([])
})

test('a name with a forbidden address was denied, one without any was not', async () => {
  expect(
    await heard('http://in.example/', { names: { 'in.example': ['10.0.0.7'] } }),
  ).toMatchObject([{ decision: 'deny', addresses: 1, error: 'SSRF_BLOCKED' }])
  expect(await heard('http://no.example/', { names: { 'no.example': [] } })).toMatchObject([
    { decision: 'allow', addresses: 0, error: 'UPSTREAM_ERROR' },
  ])
})

test('telemetry §10.2: a lookup is recorded below the call that caused it, with the process of its caller and no address', () => {
  const entries: AuditEntry[] = []
  const audit = {
    append: (entry: AuditEntry) => {
      entries.push(entry)
      return Promise.reject(new Error('the disk is full')) // and the call goes on
    },
  }
  const record = recordsLookups(audit, { caller, requestId: 'r-1' })
  record({ host: 'api.example', decision: 'allow', addresses: 2, latencyMs: 3.0591 })
  expect(entries).toEqual([
    {
      action: 'dns_query',
      phase: 'single',
      detail: 'api.example A+AAAA allow',
      success: true,
      actor: 'agent:scout',
      agent: 'scout',
      source: 'dns',
      pid: 4_711,
      uid: 60_000,
      request_id: 'r-1',
      txn: 'txn_1',
      span: { trace_id: trace.traceId, span_id: trace.spanId, parent_span_id: trace.parentSpanId },
      data: {
        domain: 'api.example',
        qtype: 'A+AAAA',
        decision: 'allow',
        addresses: 2,
        latency_ms: 3.1,
      },
    },
  ])
})

import { expect, test } from 'vitest'
import { type AuditFilter, matches } from '../audit/filter.ts'
import type { AuditRecord } from '../audit/record.ts'
import { namesCall, recordedUnder, TRACE_RECORDS, totalsUnder } from './recorded-under.ts'

const never = new AbortController().signal

function record(seq: number, entry: Partial<AuditRecord>): AuditRecord {
  return {
    v: 2,
    seq,
    timestamp: new Date(1_790_000_000_000 + seq).toISOString(),
    pod_name: 'pod',
    prev: '',
    hash: '',
    action: 'tool.call',
    phase: 'single',
    detail: '',
    success: true,
    actor: 'agent:scout',
    source: 'gateway',
    request_id: `r-${seq}`,
    ...entry,
  }
}

/** A log that is searched as the index searches it; counts what was read. */
function logOf(log: readonly AuditRecord[]) {
  let read = 0
  const find = async (filter: AuditFilter, limit: number, beforeSeq = Number.MAX_SAFE_INTEGER) => {
    const found = log
      .filter((one) => one.seq < beforeSeq && matches(filter, one, JSON.stringify(one)))
      .sort((one, other) => other.seq - one.seq)
      .slice(0, limit)
    read += found.length
    return found.map((one) => ({ record: one, line: '', file: '', offset: 0, length: 0 }))
  }
  return {
    read: () => read,
    deps: {
      vault: { stations: { audit: { flush: async () => undefined } } },
      auditIndex: { find, catchUp: async () => 0 },
    },
  }
}

const seqs = async (log: readonly AuditRecord[], id: string) =>
  (await recordedUnder(logOf(log).deps, id, never)).map(({ seq }) => seq)

const TOKEN = '04dee092-3bd7-423b-9a07-ae9b5f2908b9'
const mint = record(1, { action: 'token.mint', txn: 'txn_1', data: { token: TOKEN } })

test('a job is found by its submission and its run, each of them whole, with the token', async () => {
  const data = { token: TOKEN }
  const log = [
    mint,
    record(2, { request_id: 'r-s', phase: 'intent', action: 'tool.submit', txn: 'txn_1', data }),
    record(3, {
      ...{ request_id: 'r-s', phase: 'outcome', action: 'tool.submit', txn: 'txn_1', data },
      outcome: { code: 'OK', duration_ms: 1, job: 'job_1' },
    }),
    record(4, { request_id: 'r-r', txn: 'txn_1', data: { ...data, job: 'job_1' } }),
    record(5, { txn: 'txn_1', data: { ...data, job: 'job_2' } }),
  ]
  expect(await seqs(log, 'job_1')).toEqual([1, 2, 3, 4])
  expect(await seqs(log, 'job_3')).toEqual([])
})

test('a correlation id may look like any other id', async () => {
  for (const id of ['order-1', 'txn_of-a-client', 'r-client', 'dec_x', '0'.repeat(32)]) {
    expect(await seqs([record(1, { data: { correlation_id: id } })], id)).toEqual([1])
  }
})

test('a token of an operator is found by its id and its transaction, and beside its calls', async () => {
  const log = [
    record(1, { source: 'admin', action: 'token.mint', phase: 'intent', request_id: 'r-m' }),
    record(2, {
      ...{ source: 'admin', action: 'token.mint', phase: 'outcome', request_id: 'r-m' },
      outcome: { code: 'OK', duration_ms: 1, token: TOKEN, txn: 'txn_2' },
    }),
    record(3, { source: 'admin', action: 'token.mint', request_id: 'r-other' }),
  ]
  expect(await seqs(log, TOKEN)).toEqual([1, 2])
  expect(await seqs(log, 'txn_2')).toEqual([1, 2])
  const called = [...log, record(4, { txn: 'txn_2', data: { token: TOKEN } })]
  for (const id of ['txn_2', 'r-4', TOKEN]) expect(await seqs(called, id)).toEqual([1, 2, 4])
})

test('what the vault recorded is answered as it is', async () => {
  const use = { source: 'vault', action: 'credential.use', txn: 'txn_1' } as const
  const log = [mint, record(2, { ...use, request_id: 'r-v' }), record(3, { ...use })]
  expect(await seqs(log, 'r-v')).toEqual([2])
})

test('an id that nobody knows costs a bounded look at the newest records', async () => {
  const log = Array.from({ length: 30_000 }, (_, at) =>
    record(at + 1, { data: { correlation_id: `c-${at + 1}` } }),
  )
  const { deps, read } = logOf(log)
  expect(await recordedUnder(deps, 'c-29999', never)).toHaveLength(1)
  expect(await recordedUnder(deps, 'c-1', never)).toEqual([])
  expect(read()).toBeLessThanOrEqual(2 * 20_000 + 2)
})

test('a decision is explained by the ids its caller sees, not by a token that many calls share', () => {
  const call = record(1, { data: { token: TOKEN, correlation_id: 'order-1', job: 'job_1' } })
  expect(['r-1', 'order-1', 'job_1', TOKEN].map((id) => namesCall(call, id))).toEqual([
    true,
    true,
    true,
    false,
  ])
})

test('a run is found by its own id, with its registration', async () => {
  const log = [
    record(1, { source: 'admin', action: 'run.register', phase: 'intent', txn: 'txn_op' }),
    record(2, {
      ...{ source: 'admin', action: 'run.register', phase: 'outcome', txn: 'txn_op' },
      ...{ request_id: 'r-1', outcome: { code: 'OK', duration_ms: 1, run_txn: 'run_1' } },
    }),
    record(3, { source: 'identity', action: 'trat.issue', txn: 'run_1' }),
    record(4, { source: 'identity', action: 'trat.issue', txn: 'run_2' }),
  ]
  expect(await seqs(log, 'run_1')).toEqual([1, 2, 3])
})

test('a run of more records than one answer holds is counted to its end', async () => {
  const outcome = { code: 'OK', duration_ms: 1, usage: { total: 2 }, cost_micros: 3 }
  const more = { txn: 'run_1', source: 'llm', action: 'llm.chat', outcome } as const
  const length = TRACE_RECORDS + 1_234
  const log = Array.from({ length }, (_, seq) => record(seq + 1, more))
  const { deps } = logOf([...log, record(length + 1, { ...more, txn: 'run_2' })])
  expect(await totalsUnder(deps, 'run_1', never)).toEqual({
    calls: { model: length, tool: 0, credential: 0 },
    tokens: 2 * length,
    cost_micros: 3 * length,
    denied: 0,
    failed: 0,
  })
})

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

/** An event of an agent, and a call it made below its span. */
const told = record(1, {
  source: 'coat',
  action: 'agent_event',
  span: { trace_id: `tr_${TRACE}`, span_id: `sp_${SPAN}`, parent_span_id: '' },
  event: {
    kind: 'agent.run.start',
    ids: { run_id: 'run_51b0', session_id: 'sess_9' },
    envpod: { agent_claim_id: 'jti_7' },
  },
})
const made = record(2, {
  txn: 'txn_1',
  span: { trace_id: TRACE, span_id: 'a'.repeat(16), parent_span_id: SPAN },
})
const claimed = record(3, {
  source: 'identity',
  action: 'identity_claim',
  data: { claim_id: 'jti_7' },
})
const elsewhere = record(4, {
  source: 'coat',
  span: { trace_id: `tr_${'f'.repeat(32)}`, span_id: 'sp_1', parent_span_id: '' },
  event: { ids: { run_id: 'run_other' } },
})

test.each([
  ['its trace', `tr_${TRACE}`, [1, 2]],
  ['its trace in the spelling of W3C', TRACE, [1, 2]],
  ['one of its spans', `sp_${SPAN}`, [1, 2]],
  ['one of its spans without the prefix', SPAN, [1, 2]],
  ['its run', 'run_51b0', [1, 2]],
  ['the claim it acted under', 'jti_7', [1, 2, 3]],
  ['the transaction of a call it made', 'txn_1', [1, 2]],
])('what an agent told and what it made Vestry do are found by %s', async (_, id, expected) => {
  expect(await seqs([told, made, claimed, elsewhere], id)).toEqual(expected)
})

test('an agent may have traces with names of its own', async () => {
  const span = { trace_id: 'tr_6e1f0a9c', span_id: 'sp_2b', parent_span_id: '' }
  expect(await seqs([{ ...told, span }, made], 'tr_6e1f0a9c')).toEqual([1])
})

import { canonicalJson } from '@vestry/contract/canonical'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type AuditEntry,
  type AuditRecord,
  canonicalOf,
  fragments,
  fragmentsOf,
  hashMember,
  MAX_RECORD_CHARS,
  parseRecord,
  placed,
} from './record.ts'
import { representable } from './representable.ts'

const words = fc.string({ unit: 'binary', maxLength: 30 })
const nested = fc.dictionary(words, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 })
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

const entries: fc.Arbitrary<AuditEntry> = fc.record({
  action: words,
  phase: fc.constantFrom('intent', 'outcome', 'single'),
  detail: words,
  success: fc.boolean(),
  actor: words,
  source: fc.constantFrom('vault', 'admin', 'coat'),
  agent: optional(words),
  pid: optional(fc.nat()),
  uid: optional(fc.nat()),
  request_id: optional(words),
  txn: optional(words),
  span: optional(fc.record({ trace_id: words, span_id: words, parent_span_id: words })),
  decision: optional(
    fc.record({
      id: words,
      allow: fc.boolean(),
      policies: fc.array(words, { maxLength: 3 }),
      reason: words,
      policy_set: words,
    }),
  ),
  outcome: optional(
    fc.record({ code: words, duration_ms: fc.double({ noNaN: true, min: 0, max: 1e9 }) }),
  ),
  data: optional(nested),
  event: optional(nested),
})

test('the written line is the canonical JSON of the record, and the hashed body the same without hash', () => {
  fc.assert(
    fc.property(entries, words, fc.integer({ min: 1 }), (entry, pod_name, seq) => {
      const timestamp = '2026-05-02T09:14:07.483Z'
      const [prev, hash] = ['a'.repeat(64), 'b'.repeat(64)]
      const parts = fragments(entry, pod_name, timestamp)
      const whole = { ...entry, v: 2, seq, timestamp, pod_name, prev, hash }
      const { hash: _, ...rest } = whole
      const form = placed(parts, prev, seq)
      const line = form.head + hashMember(hash) + form.rest
      expect(line).toBe(canonicalJson(whole))
      expect(form.head + form.rest).toBe(canonicalJson(rest))
      const parsed = parseRecord(line)
      expect(parsed && canonicalOf(parsed, line)).toEqual(form)
      expect(parsed && canonicalOf(parsed, ` ${line}`)).toBeUndefined()
      expect(placed(fragmentsOf(line), prev, seq)).toEqual(form)
    }),
    { numRuns: 500 },
  )
})

test('members of a later version are hashed with the rest', () => {
  const record = {
    ...{ action: 'a', actor: 'system', detail: '', phase: 'single', success: true, source: 'host' },
    ...{ v: 3, seq: 1, timestamp: 't', pod_name: 'p', prev: 'x', hash: 'y', zone: { b: 1, a: 2 } },
  } as AuditRecord
  const line = canonicalJson(record)
  expect(canonicalOf(record, line)?.head).toContain('"zone":{"a":2,"b":1}')
  expect(canonicalOf(record, line)?.head).not.toContain('"hash"')
  expect(canonicalOf(record, line.replace('"a":2,"b":1', '"b":1,"a":2'))).toBeUndefined()
})

test('a text that is no record is not taken for one', () => {
  for (const text of ['', 'null', '[]', '7', '{}', '{"v":2,"seq":1.5}', '{"v":2', '"x"'])
    expect(parseRecord(text)).toBeUndefined()
})

test('anything at all can be made representable', () => {
  fc.assert(
    fc.property(
      fc.anything({ withBigInt: true, withDate: true, withMap: true, withSparseArray: true }),
      (value) => {
        const form = canonicalJson({ value: representable(value) })
        expect(canonicalJson(JSON.parse(form))).toBe(form)
      },
    ),
    { numRuns: 500 },
  )
})

test('values that have a canonical form are left as they are', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(canonicalJson(representable(value))).toBe(canonicalJson(value))
    }),
  )
})

test('a record never exceeds its bound, whatever is put in', () => {
  const long = 'ü'.repeat(MAX_RECORD_CHARS)
  const policies = Array.from({ length: 1000 }, () => 'p'.repeat(1000))
  const entry: AuditEntry = {
    ...{ action: 'a', phase: 'intent', detail: long, success: true, actor: 'x', source: 'vault' },
    decision: { id: 'd', allow: true, policies, reason: long, policy_set: 's', clauses: long },
    outcome: { code: 'OK', duration_ms: 1, body: long },
    event: { long },
  }
  const parts = fragments(entry, 'pod', 't')
  const { head, rest } = placed(parts, '', 1)
  const line = head + hashMember('') + rest
  expect(line.length).toBeLessThan(MAX_RECORD_CHARS)
  expect(parseRecord(line)?.decision).toMatchObject({ id: 'd', truncated: true })
})

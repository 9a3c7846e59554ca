/** The two encodings against the official definitions, with values of every shape. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeJson, parsePartialSuccess } from '../../packages/server/src/telemetry/otlp/json.ts'
import {
  decodePartialSuccess,
  encodeProtobuf,
} from '../../packages/server/src/telemetry/otlp/protobuf.ts'
import { anyValue, Double, type Value } from '../../packages/server/src/telemetry/otlp/value.ts'
import { decodeProtobuf, encodePartialSuccess } from './otlp-decode.ts'

const scalar: fc.Arbitrary<Value> = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => new Double(value)),
)
const value = fc.letrec<{ any: Value }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), tie('any'), { maxKeys: 4 }),
  ),
})).any
const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: digits, maxLength: digits })
const nanos = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })

describe('telemetry §16.40: what is written is what the official definitions read', () => {
  test('log records', () => {
    const record = fc.record({
      timeUnixNano: nanos,
      severityNumber: fc.integer({ min: 1, max: 24 }),
      eventName: fc.string({ minLength: 1 }),
      body: value.map(anyValue),
      attributes: fc.array(
        fc.record({ key: fc.string({ minLength: 1 }), value: value.map(anyValue) }),
        { maxLength: 5 },
      ),
      droppedAttributesCount: fc.integer({ min: 0, max: 1_000_000 }),
      flags: fc.constantFrom(0, 1),
      traceId: hex(32),
      spanId: hex(16),
    })
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 3 }), (logRecords) => {
        const message = { resourceLogs: [{ scopeLogs: [{ logRecords }] }] }
        const json = JSON.parse(encodeJson('LogsRequest', message))
        expect(decodeProtobuf('logs', encodeProtobuf('LogsRequest', message))).toEqual(json)
      }),
      { numRuns: 300 },
    )
  })

  test('spans', () => {
    const span = fc.record({
      traceId: hex(32),
      spanId: hex(16),
      parentSpanId: hex(16),
      name: fc.string({ minLength: 1 }),
      kind: fc.integer({ min: 1, max: 5 }),
      startTimeUnixNano: nanos,
      endTimeUnixNano: nanos,
      events: fc.array(fc.record({ timeUnixNano: nanos, name: fc.string({ minLength: 1 }) }), {
        maxLength: 3,
      }),
      links: fc.array(fc.record({ traceId: hex(32), spanId: hex(16) }), { maxLength: 2 }),
      status: fc.record({ code: fc.integer({ min: 1, max: 2 }) }),
      droppedEventsCount: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 3 }), (spans) => {
        const message = { resourceSpans: [{ scopeSpans: [{ spans }] }] }
        const json = JSON.parse(encodeJson('TraceRequest', message))
        expect(decodeProtobuf('traces', encodeProtobuf('TraceRequest', message))).toEqual(json)
      }),
      { numRuns: 300 },
    )
  })

  test('messages longer than the writer’s first buffer', () => {
    const attributes = Array.from({ length: 2_000 }, (_, at) => ({
      key: `name-${at}`,
      value: anyValue('x'.repeat(at)),
    }))
    const message = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ attributes }] }] }] }
    const json = JSON.parse(encodeJson('LogsRequest', message))
    expect(decodeProtobuf('logs', encodeProtobuf('LogsRequest', message))).toEqual(json)
  })
})

test('telemetry §16.40: in JSON, ids are hex, 64-bit integers text, enums numbers', () => {
  const message = {
    resourceSpans: [
      {
        scopeSpans: [
          {
            spans: [
              {
                traceId: '0af7651916cd43dd8448eb211c80319c',
                spanId: 'b7ad6b7169203331',
                kind: 3,
                startTimeUnixNano: 1_777_713_247_480_000_000n,
                attributes: [
                  { key: 'a', value: anyValue(7) },
                  { key: 'b', value: anyValue(new Double(7)) },
                ],
              },
            ],
          },
        ],
      },
    ],
  }
  const json = JSON.parse(encodeJson('TraceRequest', message))
  expect(json.resourceSpans[0].scopeSpans[0].spans[0]).toEqual({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    kind: 3,
    startTimeUnixNano: '1777713247480000000',
    attributes: [
      { key: 'a', value: { intValue: '7' } },
      { key: 'b', value: { doubleValue: 7 } },
    ],
  })
})

test('partial successes are read in either encoding, and garbage is not one', () => {
  const said = { rejectedLogRecords: 3, errorMessage: 'too old' }
  expect(decodePartialSuccess(encodePartialSuccess('logs', said))).toEqual({
    rejected: 3,
    message: 'too old',
  })
  expect(decodePartialSuccess(encodePartialSuccess('traces', { rejectedSpans: 5 }))).toEqual({
    rejected: 5,
    message: '',
  })
  const json = { partialSuccess: { rejectedSpans: '5', errorMessage: 'no' } }
  expect(parsePartialSuccess(Buffer.from(JSON.stringify(json)))).toEqual({
    rejected: 5,
    message: 'no',
  })
  expect(decodePartialSuccess(new Uint8Array())).toBeUndefined()
  expect(parsePartialSuccess(Buffer.from('{}'))).toBeUndefined()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(() => [decodePartialSuccess(bytes), parsePartialSuccess(bytes)]).not.toThrow()
    }),
  )
})

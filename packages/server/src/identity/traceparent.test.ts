import { describe, expect, it } from 'vitest'
import { formatTraceparent, newTrace, parseTraceparent } from './traceparent.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

describe('traceparent', () => {
  it('is read as the recommendation writes it', () => {
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      sampled: true,
    })
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled).toBe(false)
  })

  it('of a later version is read by its first four fields', () => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-follows`)?.traceId).toBe(TRACE)
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01`)?.traceId).toBe(TRACE)
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01.what`)).toBeUndefined()
  })

  it.each([
    '',
    `00-${TRACE}-${SPAN}-01-more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    ` 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01\n`,
    `cc-${TRACE}-${SPAN}-01-${'x'.repeat(300)}`,
  ])('is ignored when malformed: %j', (header) => {
    expect(parseTraceparent(header)).toBeUndefined()
    expect(newTrace(header).parentSpanId).toBe('')
  })

  it('makes our span a child of the sender', () => {
    const trace = newTrace(`00-${TRACE}-${SPAN}-01`)
    expect(trace).toMatchObject({ traceId: TRACE, parentSpanId: SPAN })
    expect(trace.spanId).not.toBe(SPAN)
    expect(parseTraceparent(formatTraceparent(trace))?.spanId).toBe(trace.spanId)
  })
})

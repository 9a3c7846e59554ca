import { describe, expect, test } from 'vitest'
import { deliver, type HttpReply, type HttpRequest, type Target } from './delivery.ts'

const TARGET: Target = {
  url: 'http://receiver.test/v1/logs',
  shown: 'http://receiver.test/v1/logs',
  headers: {},
  protocol: 'http/json',
  timeoutMs: 10_000,
}
const REQUEST = Buffer.from('{}')

/** A receiver with answers in a row, the last one for ever, and a clock that only waiting moves. */
function receiver(...answers: (Partial<HttpReply> | Error)[]) {
  let nowMs = 0
  let jumpedMs = 0
  const requests: HttpRequest[] = []
  const waits: number[] = []
  return {
    requests,
    waits,
    /** Somebody sets the clock. */
    jump: (ms: number) => {
      jumpedMs += ms
    },
    deps: {
      post: async (request: HttpRequest): Promise<HttpReply> => {
        const answer = answers[Math.min(requests.length, answers.length - 1)] as Partial<HttpReply>
        requests.push(request)
        if (answer instanceof Error) throw answer
        return { status: 200, retryAfter: undefined, body: Buffer.from('{}'), ...answer }
      },
      now: () => nowMs + jumpedMs,
      monotonicMs: () => nowMs,
      random: () => 0.5,
      sleep: async (ms: number) => {
        waits.push(ms)
        nowMs += ms
      },
    },
  }
}

const go = ({ deps }: ReturnType<typeof receiver>, target = TARGET) =>
  deliver(target, REQUEST, deps, new AbortController().signal)

describe('telemetry §16.43: a request', () => {
  test('is sent again when the receiver is away for a moment', async () => {
    const there = receiver({ status: 503 }, new Error('refused'), { status: 200 })
    expect(await go(there)).toEqual({ kind: 'taken' })
    expect(there.waits).toEqual([1000, 1500])
  })

  test('waits for as long as the receiver asks', async () => {
    const there = receiver({ status: 429, retryAfter: '4' }, {})
    expect(await go(there)).toEqual({ kind: 'taken' })
    expect(there.waits).toEqual([4000])
  })

  test('is given up for now when the receiver asks for more than there is time', async () => {
    const there = receiver({ status: 503, retryAfter: '60' })
    expect(await go(there)).toEqual({
      kind: 'failed',
      reason: 'it answered 503',
      retryAfterMs: 60_000,
    })
    expect(there.requests.length).toBe(1)
  })

  test('is tried five times, and within its time', async () => {
    const long = receiver({ status: 502 })
    expect((await go(long)).kind).toBe('failed')
    expect(long.requests.length).toBe(5)
    const short = receiver({ status: 502 })
    await go(short, { ...TARGET, timeoutMs: 2_000 })
    expect(short.requests.map(({ timeoutMs }) => timeoutMs)).toEqual([2000, 1000])
  })

  test.each([400, 401, 404, 413, 500, 302])(
    'that is answered %i is not repeated',
    async (status) => {
      const there = receiver({ status, body: Buffer.from('no\u202e such\nthing') })
      expect(await go(there)).toEqual({
        kind: 'refused',
        status,
        reason: `it answered ${status}: no such thing`,
      })
      expect(there.requests.length).toBe(1)
    },
  )

  test('that is taken in part is not repeated', async () => {
    const body = { partialSuccess: { rejectedLogRecords: '2', errorMessage: 'too old' } }
    const there = receiver({ body: Buffer.from(JSON.stringify(body)) })
    expect(await go(there)).toEqual({ kind: 'partial', rejected: 2, message: 'too old' })
    expect(there.requests.length).toBe(1)
  })

  test.each([-3_600_000, 3_600_000])(
    'has its time, also when the clock is set by %d ms',
    async (ms) => {
      const there = receiver({ status: 503 }, {})
      const post = async (request: HttpRequest) => {
        there.jump(ms)
        return there.deps.post(request)
      }
      const outcome = await deliver(
        TARGET,
        REQUEST,
        { ...there.deps, post },
        new AbortController().signal,
      )
      expect(outcome).toEqual({ kind: 'taken' })
      expect(there.requests.map(({ timeoutMs }) => timeoutMs)).toEqual([10_000, 9_000])
    },
  )

  test('that is ended by a stop is not repeated', async () => {
    const there = receiver({ status: 503 })
    const stop = new AbortController()
    const sleep = async () => stop.abort()
    const outcome = await deliver(TARGET, REQUEST, { ...there.deps, sleep }, stop.signal)
    expect([outcome.kind, there.requests.length]).toEqual(['failed', 1])
  })

  test('says what it is written in', async () => {
    const there = receiver({})
    await go(there)
    await go(there, { ...TARGET, protocol: 'http/protobuf' })
    expect(there.requests.map(({ contentType }) => contentType)).toEqual([
      'application/json',
      'application/x-protobuf',
    ])
  })
})

import { expect, test } from 'vitest'
import { correlateInSteps } from './correlate.ts'
import { readPart } from './reading.ts'
import { Log, START_MS, spanId, traceId } from './records.test-kit.ts'

const { signal } = new AbortController()

/** A log as the index gives it: the newest first, below a number. */
function over({ records }: Log) {
  const vault = { stations: { audit: { flush: async () => {} } } }
  const find = async (
    { source, sinceMs = 0 }: { source?: string; sinceMs?: number },
    limit: number,
    below = Number.POSITIVE_INFINITY,
  ) =>
    records
      .filter((one) => one.seq < below && (source === undefined || one.source === source))
      .filter((one) => Date.parse(one.timestamp) >= sinceMs)
      .reverse()
      .slice(0, limit)
      .map((record) => ({ record, line: '' }))
  return { vault, auditIndex: { find, catchUp: async () => 0 } } as unknown as Parameters<
    typeof readPart
  >[0]
}

/** One that has run for an hour, when another begins in the same process. */
function longRunning(): Log {
  const log = new Log()
  log.event('agent.run.start', { trace: traceId(1), span: spanId(1) }, 0, { fn: 'long' })
  log.event(
    'agent.run.start',
    { trace: traceId(2), span: spanId(2) },
    5,
    {},
    { pid: 9, producer: 'p_9' },
  )
  log.event('agent.tool.call', { trace: traceId(3), span: spanId(3) }, 3_600_000, { fn: 'short' })
  log.vault(3_600_100)
  return log
}

test('what began before a part, and may still run, is a candidate in it', async () => {
  const log = longRunning()
  const filter = { sinceMs: START_MS + 3_500_000 }
  const { facts, ...part } = await readPart(over(log), { filter, limit: 100, signal })
  expect(part).toEqual({ fromSeq: 3, truncated: false, isWhole: false })
  // Of processes that have nothing to do with it, nothing is read.
  expect(facts.map(({ seq }) => seq)).toEqual([1, 3, 4])
  const { traces, producers } = await correlateInSteps(facts, { ...part, signal })
  const [short] = traces
  expect(traces).toHaveLength(1)
  expect(short?.spans[0]?.events).toMatchObject([{ attribution: { method: 'heuristic' } }])
  expect(producers).toMatchObject([{ stored: 1, missing: 0 }])
})

test('what a span caused that began before a part is told with its trace', async () => {
  const log = longRunning()
  log.event('agent.tool.result', { trace: traceId(3), span: spanId(3) }, 3_600_200, {})
  log.vault(3_700_000)
  const filter = { sinceMs: START_MS + 3_600_150 }
  const { facts, ...part } = await readPart(over(log), { filter, limit: 100, signal })
  const { traces } = await correlateInSteps(facts, { ...part, signal })
  expect(traces.map(({ spans }) => spans[0]?.name)).toEqual(['long', 'short'])
  expect(traces[0]?.spans[0]?.events).toMatchObject([
    { attribution: { method: 'sole', span_id: spanId(1) } },
  ])
})

test('a log that is read whole has nothing before it', async () => {
  const log = longRunning()
  const { facts, ...part } = await readPart(over(log), { filter: {}, limit: 100, signal })
  expect(part).toEqual({ fromSeq: 1, truncated: false, isWhole: true })
  expect(facts).toHaveLength(4)
  expect(await readPart(over(new Log()), { filter: {}, limit: 5, signal })).toMatchObject({
    facts: [],
    isWhole: false,
  })
})

test('others have their turn while a long part is told', async () => {
  const log = new Log()
  for (let n = 0; n < 10_000; n += 1) {
    const ids = { trace: traceId(n), span: spanId(n) }
    log.event('agent.tool.call', ids, n * 10, {})
    log.event('agent.tool.result', ids, n * 10 + 9, { status: 'ok' })
  }
  const { facts } = await readPart(over(log), { filter: {}, limit: 100_000, signal })
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
  }, 1)
  const gone = new AbortController()
  await correlateInSteps(facts, { signal: gone.signal })
  clearInterval(timer)
  expect(turns).toBeGreaterThan(0)
  const telling = correlateInSteps(facts, { signal: gone.signal })
  gone.abort(new Error('nobody waits'))
  await expect(telling).rejects.toThrow('nobody waits')
})

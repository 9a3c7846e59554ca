/**
 * How fast is the journal of effects on SQLite? From "reserved" to "begun" for one that is queued, and executions
 * a second, against the same rows written bare: an insert and an update in the same group commits. Bars: pick-up
 * p50 at most 50 ms, 1 000 executions a second.
 */
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newRow } from '../packages/server/src/journal/execution-row.ts'
import type { Held } from '../packages/server/src/journal/held.ts'
import { Journal } from '../packages/server/src/journal/journal.ts'
import { sealContent } from '../packages/server/src/journal/sealed-content.ts'
import { disposeEntries, newEntries, OpenKeyring } from '../packages/server/src/seal/keyring.ts'
import { openStore, type Store } from '../packages/server/src/store/store.ts'
import { report } from './report.ts'

const BAR = { pickupMs: 50, perSecond: 1_000 }
const ONE_BY_ONE = 1_000
const MANY = 10_000
/** Callers that reserve at the same time. */
const CALLERS = 64
/** As the gateway runs jobs unless told otherwise, and as one may tell it. */
const CONCURRENCIES = [4, 32]
const ROUNDS = 3

const input = new Uint8Array(400).fill(1)
const output = new Uint8Array(400).fill(2)
const never = new AbortController().signal
const entries = newEntries(0)
const keyring = new OpenKeyring('6b1f9a7e-0d55-4f0a-9f43-0c8f7a2f1d11', entries)
disposeEntries(entries)
let ids = 0

const pickups = await withStore(pickUp)
const queued: Record<string, number>[] = []
const inline: number[] = []
const bare: number[] = []
// The kinds take turns, so that a noisy minute of the machine hits all of them.
for (let round = 0; round < ROUNDS; round += 1) {
  const rates: Record<string, number> = {}
  for (const concurrency of CONCURRENCIES) {
    rates[`concurrency_${concurrency}`] = await withStore((store) => runQueued(store, concurrency))
  }
  queued.push(rates)
  inline.push(await withStore(runInline))
  bare.push(await withStore(runBare))
}

const rate = (concurrency: number) =>
  median(queued.map((rates) => rates[`concurrency_${concurrency}`] ?? Number.NaN))
report('journal', {
  bar: BAR,
  pickup: pickups,
  per_second: {
    queued_concurrency_4: rate(4),
    queued_concurrency_32: rate(32),
    inline: median(inline),
    bare_insert_and_update: median(bare),
  },
  ratio_to_bare: { queued_32: rate(32) / median(bare), inline: median(inline) / median(bare) },
  rounds: queued.map((rates, at) => ({ ...rates, inline: inline[at], bare: bare[at] })),
})
if (!(pickups.p50_ms <= BAR.pickupMs && rate(4) >= BAR.perSecond)) {
  console.error('the bars are missed')
  process.exitCode = 1
}

/** One at a time: from the durable reservation to the first line of the body, and to the end of it all. */
async function pickUp(store: Store) {
  await using journal = open(store)
  const begun = new Map<string, number>()
  journal.register('gateway', {
    concurrency: 4,
    run: async (execution) => {
      begun.set(execution.id, performance.now())
      await effect(execution)
    },
  })
  journal.start()
  const waits: number[] = []
  const wholes: number[] = []
  for (let n = 0; n < ONE_BY_ONE; n += 1) {
    const asked = performance.now()
    const { execution } = await journal.reserve(job('queued'))
    const reserved = performance.now()
    await journal.wait(execution.id, never)
    wholes.push(performance.now() - asked)
    waits.push((begun.get(execution.id) ?? Number.NaN) - reserved)
  }
  return {
    p50_ms: quantile(waits, 0.5),
    p99_ms: quantile(waits, 0.99),
    whole_p50_ms: quantile(wholes, 0.5),
    whole_p99_ms: quantile(wholes, 0.99),
  }
}

async function runQueued(store: Store, concurrency: number): Promise<number> {
  await using journal = open(store)
  let ended = 0
  const all = Promise.withResolvers<void>()
  journal.register('gateway', {
    concurrency,
    run: async (execution) => {
      await effect(execution)
      ended += 1
      if (ended === MANY) all.resolve()
    },
  })
  journal.start()
  return await perSecond(async () => {
    await callers(async () => void (await journal.reserve(job('queued'))))
    await all.promise
  })
}

async function runInline(store: Store): Promise<number> {
  await using journal = open(store)
  return await perSecond(() =>
    callers(async () => {
      const reserved = await journal.reserve({ ...job('inline'), sent: true })
      if (reserved.state === 'held') await reserved.execution.finish(output)
    }),
  )
}

/** The same rows, sealed in the same way, without anything that makes them a journal. */
function runBare(store: Store): Promise<number> {
  return perSecond(() =>
    callers(async () => {
      const one = job('inline')
      const sealed = sealContent(keyring, 'execution-input', one.id, input)
      const nowMs = Date.now()
      const row = newRow(one, sealed, { owner: 'bench', untilMs: nowMs }, nowMs)
      await store.write((trx) => trx.insertInto('execution').values(row).execute())
      const result = sealContent(keyring, 'execution-output', one.id, output)
      await store.write((trx) =>
        trx
          .updateTable('execution')
          .set({ state: 'done', owner: null, output: result, input: null })
          .where('id', '=', one.id)
          .execute(),
      )
    }),
  )
}

/** What every body does: says that it is about to, and how it went. */
async function effect(execution: Held): Promise<void> {
  await execution.sent()
  await execution.finish(output)
}

function open(store: Store): Journal {
  const warn = (message: string, cause: unknown) => console.error(message, cause)
  return new Journal({ store, keys: () => keyring, now: Date.now, owner: 'bench', warn })
}

function job(mode: 'inline' | 'queued') {
  ids += 1
  const name = String(ids).padStart(32, '0')
  return {
    id: `job_${name}`,
    kind: 'gateway',
    key: name.repeat(2),
    fingerprint: name.repeat(2),
    agentId: '3f0c6d1e-7a44-4a35-9f6c-0f6a3ce6a7aa',
    subject: 'gmail_send:send',
    mode,
    repeatable: false,
    input,
    retainMs: 3_600_000,
  } as const
}

async function callers(one: () => Promise<void>): Promise<void> {
  let left = MANY
  const caller = async () => {
    while (left > 0) {
      left -= 1
      await one()
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}

async function perSecond(run: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await run()
  return (MANY * 1_000) / (performance.now() - start)
}

async function withStore<T>(run: (store: Store) => Promise<T>): Promise<T> {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'bench-journal-'))
  await using store = await openStore(`sqlite:${dir.path}/vestry.db`)
  return await run(store)
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
}

/**
 * How fast do workflows run? Two pure steps each, engine and journal with their rows, on SQLite and on PostgreSQL,
 * against bare executions of the same journal in the same run. Policy and audit are left out: they have benches of
 * their own.
 * Bars: 1 000 workflows a second, pick-up p50 at most 20 ms.
 */
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Held } from '../packages/server/src/journal/held.ts'
import { Journal } from '../packages/server/src/journal/journal.ts'
import { openSteps } from '../packages/server/src/journal/steps.ts'
import { readDefinition } from '../packages/server/src/runtime/workflows/definition.ts'
import { walk } from '../packages/server/src/runtime/workflows/engine.ts'
import { Places } from '../packages/server/src/runtime/workflows/places.ts'
import { RunStore } from '../packages/server/src/runtime/workflows/run-store.ts'
import type { Accepted } from '../packages/server/src/runtime/workflows/run-worker.ts'
import { disposeEntries, newEntries, OpenKeyring } from '../packages/server/src/seal/keyring.ts'
import { openStore } from '../packages/server/src/store/store.ts'
import setup from '../test/postgres.setup.ts'
import { report } from './report.ts'

const BAR = { perSecond: 1_000, pickupMs: 20 }
const MANY = 800
const CALLERS = 64
const ROUNDS = 3

const entries = newEntries(0)
const keyring = new OpenKeyring('6b1f9a7e-0d55-4f0a-9f43-0c8f7a2f1d11', entries)
disposeEntries(entries)
const keys = () => keyring
const definition = readDefinition({
  id: 'two',
  steps: [
    { id: 'a', kind: 'transform', with: { expression: 'params.n + 1' } },
    { id: 'b', kind: 'transform', with: { expression: 'steps.a.output * 2' } },
  ],
})
let ids = 0

interface Round {
  readonly workflows: number
  readonly bare: number
  readonly pickup_p50_ms: number
}

let offer: { broker: string } | { skip: string } = { skip: 'not asked' }
const project = {
  provide: (_name: string, value: typeof offer) => {
    offer = value
  },
}
const stopPostgres = await setup(project as unknown as Parameters<typeof setup>[0])
const engines: Record<string, ReturnType<typeof summary>> = {}
try {
  engines['sqlite'] = summary(await rounds(sqlite))
  if ('broker' in offer) {
    const { broker } = offer as { broker: string }
    engines['postgres'] = summary(await rounds((work) => postgres(broker, work)))
  }
} finally {
  await stopPostgres()
}
report('workflows', { bar: BAR, ...engines })
for (const [engine, { per_second: rate, pickup_p50_ms: pickup }] of Object.entries(engines)) {
  if (rate.two_steps >= BAR.perSecond && pickup <= BAR.pickupMs) continue
  console.error(`the bars are missed on ${engine}`)
  process.exitCode = 1
}

type WithUrl = <T>(work: (url: string) => Promise<T>) => Promise<T>

async function sqlite<T>(work: (url: string) => Promise<T>): Promise<T> {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'bench-workflows-'))
  return await work(`sqlite:${join(dir.path, 'vestry.db')}`)
}

async function postgres<T>(broker: string, work: (url: string) => Promise<T>): Promise<T> {
  const made = await fetch(broker)
  const url = await made.text()
  if (!made.ok) throw new Error(url)
  return work(url)
}

async function rounds(withUrl: WithUrl): Promise<Round[]> {
  const told: Round[] = []
  // The kinds take turns, so that a noisy minute of the machine hits both.
  for (let round = 0; round < ROUNDS; round += 1) {
    const bare = await withUrl((url) => measured(url, false))
    const { perSecond: workflows } = await withUrl((url) => measured(url, true))
    const { pickup } = await withUrl((url) => measured(url, true, 200, 1))
    process.stderr.write(`${workflows}/s, bare ${bare.perSecond}/s\n`)
    told.push({ workflows, bare: bare.perSecond, pickup_p50_ms: pickup })
  }
  return told
}

function summary(rounds: readonly Round[]) {
  const middle = (of: (round: Round) => number) =>
    rounds.map(of).toSorted((a, b) => a - b)[rounds.length >> 1] ?? Number.NaN
  const workflows = middle((one) => one.workflows)
  const bare = middle((one) => one.bare)
  return {
    per_second: { two_steps: workflows, bare_executions: bare },
    ratio_to_bare: workflows / bare,
    pickup_p50_ms: middle((one) => one.pickup_p50_ms),
    rounds,
  }
}

async function measured(url: string, isWorkflow: boolean, many = MANY, callers = CALLERS) {
  await using store = await openStore(url)
  const now = Date.now
  const runs = new RunStore({ store, keys, now })
  const warn = () => undefined
  await using journal = new Journal({ store, keys, now, owner: 'bench', warn })
  const waits: number[] = []
  const kept = new Map<string, Accepted>()
  const reserved = new Map<string, number>()
  let ended = 0
  let one = Promise.withResolvers<void>()
  const all = Promise.withResolvers<void>()
  journal.register('workflow', {
    concurrency: 32,
    async run(held, signal) {
      waits.push(performance.now() - (reserved.get(held.id) ?? performance.now()))
      await held.finish(new Uint8Array(), isWorkflow ? await workflow(held, signal) : undefined)
      ended += 1
      one.resolve()
      if (ended === many) all.resolve()
    },
  })
  const workflow = async (held: Held, signal: AbortSignal) => {
    // What was accepted by this node is not read again.
    const accepted = kept.get(held.id)
    if (accepted === undefined) throw new Error('it is not there')
    const { run, content } = accepted
    kept.delete(held.id)
    const steps = await openSteps({ store, keys, now }, held)
    const walked = await walk(
      {
        steps,
        signal,
        now,
        places: new Places(16),
        onStep: () => undefined,
        body: async () => null,
        came: async () => undefined,
        child: () => Promise.reject(new Error('it has none')),
      },
      definition,
      content.params,
    )
    if (walked.state !== 'done') throw new Error('it failed')
    steps.close()
    return runs.ending(run, 'completed', { ...content, result: walked.outputs })
  }
  journal.start()
  const began = performance.now()
  let left = many
  const caller = async () => {
    while (left > 0) {
      left -= 1
      const id = `exe_${ids++}`
      const facts = { actor: 'operator:ada', requestId: 'r', traceparent: '' }
      const [startedAt, finishedAt] = [undefined, undefined]
      const row = {
        id,
        workflowId: 'two',
        agentId: undefined,
        status: 'pending',
        trigger: 'bench',
      } as const
      one = Promise.withResolvers<void>()
      const run = { ...row, facts, createdAt: now(), startedAt, finishedAt }
      const content = { definition, params: { n: 1 } }
      if (isWorkflow) kept.set(id, { run, content })
      const execution = {
        id,
        kind: 'workflow',
        agentId: '',
        subject: 'workflow:run',
        mode: 'queued',
      } as const
      await journal.reserve(
        { ...execution, repeatable: true, retainMs: 60_000 },
        isWorkflow ? runs.adding(run, content) : undefined,
      )
      reserved.set(id, performance.now())
      if (callers === 1) await one.promise
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  await all.promise
  const seconds = (performance.now() - began) / 1_000
  return {
    perSecond: Math.round(many / seconds),
    pickup: waits.sort((a, b) => a - b)[waits.length >> 1] ?? Number.NaN,
  }
}

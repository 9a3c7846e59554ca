/**
 * How fast do workflows run? Two pure steps each, on SQLite, engine and journal with their rows, against bare
 * executions of the same journal in the same run. Policy and audit are left out: they have benches of their own.
 * Bars: 1 000 workflows a second, pick-up p50 at most 20 ms.
 */
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Held } from '../packages/server/src/journal/held.ts'
import { Journal } from '../packages/server/src/journal/journal.ts'
import { openSteps } from '../packages/server/src/journal/steps.ts'
import { readDefinition } from '../packages/server/src/runtime/workflows/definition.ts'
import { Places, walk } from '../packages/server/src/runtime/workflows/engine.ts'
import { RunStore } from '../packages/server/src/runtime/workflows/run-store.ts'
import { disposeEntries, newEntries, OpenKeyring } from '../packages/server/src/seal/keyring.ts'
import { openStore } from '../packages/server/src/store/store.ts'
import { report } from './report.ts'

const BAR = { perSecond: 1_000, pickupMs: 20 }
const MANY = 2_000
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

const rounds: { workflows: number; bare: number; pickup_p50_ms: number }[] = []
for (let round = 0; round < ROUNDS; round += 1) {
  const bare = await measured(false)
  const { perSecond: workflows } = await measured(true)
  const { pickup } = await measured(true, 300, 1)
  rounds.push({ workflows, bare: bare.perSecond, pickup_p50_ms: pickup })
}
const middle = (values: number[]) =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const workflows = middle(rounds.map((one) => one.workflows))
const bare = middle(rounds.map((one) => one.bare))
const pickup = middle(rounds.map((one) => one.pickup_p50_ms))
report('workflows', {
  bar: BAR,
  per_second: { two_steps: workflows, bare_executions: bare },
  ratio_to_bare: workflows / bare,
  pickup_p50_ms: pickup,
  rounds,
})
if (!(workflows >= BAR.perSecond && pickup <= BAR.pickupMs)) {
  console.error('the bars are missed')
  process.exitCode = 1
}

async function measured(isWorkflow: boolean, many = MANY, callers = CALLERS) {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'bench-workflows-'))
  await using store = await openStore(`sqlite:${join(dir.path, 'vestry.db')}`)
  const now = Date.now
  const runs = new RunStore({ store, keys, now })
  const warn = () => undefined
  await using journal = new Journal({ store, keys, now, owner: 'bench', warn })
  const waits: number[] = []
  const reserved = new Map<string, number>()
  let ended = 0
  let one = Promise.withResolvers<void>()
  const all = Promise.withResolvers<void>()
  journal.register('workflow', {
    concurrency: 32,
    async run(held, signal) {
      waits.push(performance.now() - (reserved.get(held.id) ?? performance.now()))
      if (isWorkflow) await workflow(held, signal)
      await held.finish(new Uint8Array())
      ended += 1
      one.resolve()
      if (ended === many) all.resolve()
    },
  })
  const workflow = async (held: Held, signal: AbortSignal) => {
    const run = await runs.get(held.id)
    const content = await runs.content(held.id)
    if (run === undefined || content === undefined) throw new Error('it is not there')
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
    await runs.end(run, 'completed', { ...content, result: walked.outputs })
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
      if (isWorkflow)
        await runs.add(
          { ...row, facts, createdAt: now(), startedAt, finishedAt },
          { definition, params: { n: 1 } },
        )
      const execution = {
        id,
        kind: 'workflow',
        agentId: '',
        subject: 'workflow:run',
        mode: 'queued',
      } as const
      await journal.reserve({ ...execution, repeatable: true, retainMs: 60_000 })
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

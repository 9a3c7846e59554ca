/**
 * Walks the steps of a workflow in the order that their needs allow. What is done is kept by {@link Steps}, so the
 * same walk over a run that was interrupted goes on where it was.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { attempts, type Given, type Leaf } from './attempts.ts'
import { type Definition, InnerStep, needsOf, type Step } from './definition.ts'
import { evaluate, filled, holds, type Scope } from './evaluate.ts'
import { plain, shown } from './step-values.ts'
import type { Settled, Walk, Walked } from './walk.ts'

const MAX_DEPTH = 5
const MAX_ITEMS = 1_000
const MAX_PARALLEL = 16
const WAIT_MS = 7 * 86_400_000
/** @param within Of the step whose part this is: `outer/`. */
export async function walk(
  run: Walk,
  definition: Definition,
  params: unknown,
  within = '',
  depth = 0,
): Promise<Walked> {
  const settled = new Map<string, Settled>()
  const running = new Map<string, Promise<void>>()
  const left = new Map(definition.steps.map((step) => [step.id, { step, needs: needsOf(step) }]))
  const stop = new AbortController()
  const signal = AbortSignal.any([run.signal, stop.signal])
  let failed: { readonly step: string; readonly error: VestryError } | undefined
  const begin = (step: Step): void => {
    left.delete(step.id)
    const scope = scopeOf(settled, params)
    const work = one({ ...run, signal }, step, scope, within, depth).then((outcome) => {
      settled.set(step.id, outcome)
      running.delete(step.id)
      if (outcome.state !== 'failed' || step.on_error === 'continue' || failed !== undefined) return
      failed = { step: within + step.id, error: outcome.error }
      stop.abort(new VestryError('CANCELLED', 'Another step failed'))
    })
    running.set(step.id, work)
  }
  for (;;) {
    run.signal.throwIfAborted()
    if (failed === undefined)
      for (const { step, needs } of [...left.values()])
        if ([...needs].every((id) => isOver(settled.get(id)))) begin(step)
    if (running.size === 0) break
    await Promise.race(running.values())
  }
  run.signal.throwIfAborted()
  if (failed !== undefined) return { state: 'failed', ...failed }
  const waits = [...settled.values()].flatMap((one) =>
    one.state === 'waiting' ? [one.untilMs] : [],
  )
  if (waits.length > 0) return { state: 'waiting', untilMs: Math.min(...waits) }
  return { state: 'done', outputs: outputsOf(definition, settled, params) }
}

function isOver(settled: Settled | undefined): boolean {
  return settled !== undefined && settled.state !== 'waiting'
}

function outputsOf(
  { outputs, steps }: Definition,
  settled: ReadonlyMap<string, Settled>,
  params: unknown,
): Readonly<Record<string, unknown>> {
  if (Object.keys(outputs).length === 0) {
    // Without outputs of its own it is worth what its last step is.
    const last = settled.get(steps.at(-1)?.id ?? '')
    const output = last?.state === 'done' ? shown(last.output) : null
    return isRecord(output) ? output : { output }
  }
  const scope = scopeOf(settled, params)
  return Object.fromEntries(
    Object.entries(outputs).map(([name, source]) => [name, plain(evaluate(source, scope))]),
  )
}

function scopeOf(settled: ReadonlyMap<string, Settled>, params: unknown): Scope {
  const steps = Object.fromEntries(
    [...settled].map(([id, outcome]) => [
      id,
      {
        status: outcome.state === 'done' ? 'completed' : outcome.state,
        output: outcome.state === 'done' ? outcome.output : null,
        error:
          outcome.state === 'failed'
            ? { code: outcome.error.code, message: outcome.error.message }
            : null,
      },
    ]),
  )
  return { params, steps }
}

async function one(
  run: Walk,
  step: Step,
  scope: Scope,
  within: string,
  depth: number,
): Promise<Settled> {
  const key = within + step.id
  const before = run.steps.find(key)
  // What was begun by an earlier run of the execution keeps its times.
  const startedAtMs = before?.startedAtMs ?? run.now()
  const told = { id: key, kind: step.kind, startedAtMs }
  const tell = (outcome: Settled): Settled => {
    const durationMs = Math.max(0, (before?.finishedAtMs ?? run.now()) - startedAtMs)
    if (outcome.state === 'done')
      run.onStep({ ...told, status: 'completed', durationMs, output: shown(outcome.output) })
    else if (outcome.state === 'failed')
      run.onStep({
        ...told,
        status: 'failed',
        durationMs,
        error: { code: outcome.error.code, message: outcome.error.message },
      })
    else run.onStep({ ...told, status: outcome.state, durationMs })
    return outcome
  }
  try {
    if (step.when !== undefined && !holds(step.when, scope)) return tell({ state: 'skipped' })
    if (before === undefined) run.onStep({ ...told, status: 'running', durationMs: 0 })
    return tell(await done(run, step, scope, key, depth))
  } catch (error) {
    // Whoever stops the whole run says why.
    return tell({ state: 'failed', error: asVestryError(error) })
  }
}

function done(run: Walk, step: Step, scope: Scope, key: string, depth: number): Promise<Settled> {
  switch (step.kind) {
    case 'foreach':
      return foreach(run, step, scope, key, depth)
    case 'subworkflow':
      return subworkflow(run, filled(step.with, scope) as Given, key, depth)
    case 'delay':
    case 'wait_for_approval':
    case 'wait_for_signal':
      return waited(run, step, scope, key)
    default:
      return attempts(run, step, scope, key).then((output) => ({ state: 'done', output }))
  }
}

async function foreach(
  run: Walk,
  step: Step,
  scope: Scope,
  key: string,
  depth: number,
): Promise<Settled> {
  const { items: given, step: innerGiven, parallel = 4 } = step.with
  const items = filled(given, scope)
  if (!Array.isArray(items)) throw new VestryError('INVALID_PARAMS', 'items is no list')
  if (items.length > MAX_ITEMS)
    throw new VestryError('INVALID_PARAMS', `a foreach takes at most ${MAX_ITEMS} items`)
  const inner = InnerStep.parse(innerGiven)
  const atOnce = Math.min(MAX_PARALLEL, Math.max(1, Math.trunc(Number(parallel)) || 1))
  const outputs: unknown[] = new Array(items.length)
  const waits: number[] = []
  const queue = items.entries()
  const lane = async (): Promise<void> => {
    for (const [index, item] of queue) {
      run.signal.throwIfAborted()
      const of = { ...scope, item, index }
      const at = `${key}[${index}]`
      if (inner.kind === 'subworkflow') {
        const outcome = await subworkflow(run, filled(inner.with, of) as Given, at, depth)
        if (outcome.state === 'failed') throw outcome.error
        if (outcome.state === 'waiting') waits.push(outcome.untilMs)
        if (outcome.state === 'done') outputs[index] = outcome.output
      } else outputs[index] = await attempts(run, leafOf(inner, step), of, at)
    }
  }
  const lanes = Array.from({ length: Math.min(atOnce, items.length) }, lane)
  const ended = await Promise.allSettled(lanes)
  for (const lane of ended) if (lane.status === 'rejected') throw lane.reason
  if (waits.length > 0) return { state: 'waiting', untilMs: Math.min(...waits) }
  return { state: 'done', output: outputs.map((output) => shown(output) ?? null) }
}

function leafOf(inner: InnerStep, { retry, timeout_seconds: seconds }: Step): Leaf {
  return {
    kind: inner.kind,
    with: inner.with,
    ...(inner.idempotent !== undefined && { idempotent: inner.idempotent }),
    ...(retry !== undefined && { retry }),
    ...(seconds !== undefined && { timeout_seconds: seconds }),
  }
}

async function subworkflow(run: Walk, given: Given, key: string, depth: number): Promise<Settled> {
  if (depth >= MAX_DEPTH)
    throw new VestryError('INVALID_PARAMS', `workflows call each other at most ${MAX_DEPTH} deep`)
  const { workflow_id: id, parameters = {} } = given
  if (typeof id !== 'string' || typeof parameters !== 'object' || parameters === null)
    throw new VestryError('INVALID_PARAMS', 'workflow_id is a text, parameters is a record')
  // What it was when it began, it stays.
  const child = await run.steps.run({ key: `${key}/`, kind: 'subworkflow', repeatable: true }, () =>
    run.child(id, plain(parameters) as Given, key),
  )
  const walked = await walk(run, child.definition, child.params, `${key}/`, depth + 1)
  if (walked.state === 'failed') {
    const { code, message } = walked.error
    return { state: 'failed', error: new VestryError(code, `${walked.step}: ${message}`) }
  }
  return walked.state === 'done' ? { state: 'done', output: walked.outputs } : walked
}

/** It holds no place while it waits: the run is put down and taken up again when something came, or time is up. */
async function waited(run: Walk, step: Step, scope: Scope, key: string): Promise<Settled> {
  const given = filled(step.with, scope) as Given
  const plan = { key, kind: step.kind, repeatable: true }
  const known = run.steps.find(key)
  if (known !== undefined && known.state !== 'waiting')
    return { state: 'done', output: await run.steps.run(plan, async () => null) }
  const timeoutMs = step.timeout_seconds === undefined ? WAIT_MS : step.timeout_seconds * 1_000
  const lastsMs = step.kind === 'delay' ? secondsOf(given) * 1_000 : timeoutMs
  const untilMs = known?.notBeforeMs ?? run.now() + lastsMs
  if (known === undefined) await run.steps.retry(key, untilMs)
  const found = await run.came({ kind: step.kind, key, given, timeoutMs })
  const isLate = run.now() >= untilMs
  if (found === undefined && !isLate) return { state: 'waiting', untilMs }
  await run.steps.retry(key, 0)
  const output = await run.steps.run(plan, async () => {
    if (found !== undefined) return plain(found.value)
    if (step.kind === 'delay') return null
    throw new VestryError('DEADLINE_EXCEEDED', 'Nothing came in time')
  })
  return { state: 'done', output }
}

function secondsOf({ seconds }: Given): number {
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= 2_592_000) return seconds
  throw new VestryError('INVALID_PARAMS', 'seconds is a number from 0 to 2 592 000')
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

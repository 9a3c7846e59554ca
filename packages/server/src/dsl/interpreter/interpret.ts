/**
 * Runs an agent's program. Deterministic: the same program over the same parameters and the same answers of its host
 * asks for the same effects in the same order, so a run that was cut off is repeated over what it has already done.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asVestryError } from '@vestry/contract/errors'
import type { CheckedAgent } from '../definition.ts'
import type { EffectCall, Host, Value } from '../host.ts'
import { scopeOf } from '../scope.ts'
import { callDeclared } from './call.ts'
import { runBlock } from './execute.ts'
import { exceeded, fault } from './fault.ts'
import { type Ask, type Callable, Machine, type Run, type RunLimits } from './machine.ts'
import { type Body, bodiesOf, callablesOf } from './program.ts'
import { adopt, expand, newRecord } from './values.ts'

export interface Interpretation {
  readonly agent: CheckedAgent
  /** In this order; absent: all, in the order of the source. */
  readonly actions?: readonly string[]
  /** For parameters by name; `input` and `payload` are seen everywhere. */
  readonly params: Readonly<Record<string, Value>>
  readonly host: Host
  readonly limits: RunLimits
  readonly signal: AbortSignal
}

/**
 * @returns The value of the last body that ran, and the steps that all took.
 * @throws VestryError DSL_RUNTIME_ERROR and DSL_LIMIT, with `context.line`; what an effect threw and the program did
 *   not catch; the signal's reason.
 */
export async function interpret(ask: Interpretation): Promise<{ value: Value; steps: number }> {
  const { agent, host, limits, signal } = ask
  signal.throwIfAborted()
  const machine = new Machine({
    limits,
    callables: callablesOf(agent),
    capabilities: agent.definition.capabilities,
    report: (step) => host.progress(step),
  })
  using clock = new WallClock(limits.wallClockMs, signal)
  try {
    prepare(machine, ask)
    const value = await drive(main(machine, ask), machine, host, clock)
    return { value, steps: Math.ceil(machine.steps) }
  } catch (error) {
    throw error instanceof RangeError ? exceeded(0, 'the program nests too deeply') : error
  }
}

/** What every body sees: attributes, parameters of the agent, and what the run was started with. */
function prepare(machine: Machine, { agent, params }: Interpretation): void {
  for (const [name, value] of Object.entries(scopeOf(agent, params)))
    machine.globals.define(name, adopt(machine, value, 0), true)
}

function* main(machine: Machine, ask: Interpretation): Run<Value> {
  let value: Value = null
  for (const body of bodiesOf(ask.agent, ask.actions)) {
    const startedMs = performance.now()
    const step = { id: body.name, line: body.line }
    machine.report({ ...step, status: 'running', duration_ms: 0 })
    try {
      value = yield* runBody(machine, body, ask.params)
      // It goes into records and answers, where no secret may be.
      expand(machine, value, { secrets: 'the result holds a secret', line: body.line })
      machine.report({ ...step, status: 'completed', duration_ms: since(startedMs) })
    } catch (error) {
      machine.report({ ...step, ...failure(error), duration_ms: since(startedMs) })
      throw error
    }
  }
  return value
}

function* runBody(
  machine: Machine,
  body: Body,
  params: Readonly<Record<string, Value>>,
): Run<Value> {
  if (body.callable !== undefined) {
    const named = boundParams(machine, body.callable, params, body.line)
    return yield* callDeclared(machine, body.callable, { positional: [], named }, body.line)
  }
  machine.where = body.name
  const outcome = yield* runBlock(machine, machine.globals, body.block)
  if (outcome.flow === 'break' || outcome.flow === 'continue')
    throw fault(outcome.line, `"${outcome.flow}" stands outside of a loop`)
  return outcome.value
}

function boundParams(
  machine: Machine,
  { params }: Callable,
  given: Readonly<Record<string, Value>>,
  line: number,
): Record<string, Value> {
  const named = newRecord()
  for (const { name } of params) {
    if (Object.hasOwn(given, name.text)) named[name.text] = adopt(machine, given[name.text], line)
  }
  return named
}

async function drive(
  run: Run<Value>,
  machine: Machine,
  host: Host,
  clock: WallClock,
): Promise<Value> {
  let step: IteratorResult<Ask, Value> = run.next()
  while (step.done !== true) {
    clock.check()
    if (step.value.kind === 'pause') {
      await nextTurn()
      clock.check()
      step = run.next()
      continue
    }
    const answer = await answerTo(step.value.call, machine, host, clock)
    clock.check()
    step = answer.kind === 'value' ? run.next(answer.value) : run.throw(answer.error)
  }
  return step.value
}

type Answer =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'error'; readonly error: unknown }

async function answerTo(
  call: EffectCall,
  machine: Machine,
  host: Host,
  clock: WallClock,
): Promise<Answer> {
  const step = { id: `${machine.where}/${call.name}`, line: call.line }
  const startedMs = performance.now()
  machine.report({ ...step, status: 'running', duration_ms: 0 })
  try {
    const value = await clock.within(host.effect(call, clock.signal))
    machine.report({ ...step, status: 'completed', duration_ms: since(startedMs) })
    return { kind: 'value', value }
  } catch (error) {
    machine.report({ ...step, ...failure(error), duration_ms: since(startedMs) })
    return { kind: 'error', error }
  }
}

/** The end of a run that takes too long, whatever it is at, or that nobody wants any more. */
class WallClock implements Disposable {
  readonly signal: AbortSignal
  readonly #outer: AbortSignal
  readonly #timeUp = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #endsMs: number
  readonly #limitMs: number

  constructor(limitMs: number, outer: AbortSignal) {
    this.#outer = outer
    this.#limitMs = limitMs
    this.#endsMs = performance.now() + limitMs
    this.#timer = setTimeout(() => this.#end(), limitMs)
    this.signal = AbortSignal.any([outer, this.#timeUp.signal])
  }

  /** The timer alone would not do: it cannot fire while the program computes. */
  check(): void {
    this.#outer.throwIfAborted()
    if (performance.now() >= this.#endsMs) this.#end()
    this.signal.throwIfAborted()
  }

  /** Does not wait longer for a host that does not heed the signal. */
  async within<T>(work: Promise<T>): Promise<T> {
    const ended = Promise.withResolvers<never>()
    const end = (): void => ended.reject(this.signal.reason)
    this.signal.addEventListener('abort', end, { once: true })
    try {
      return await Promise.race([work, ended.promise])
    } finally {
      this.signal.removeEventListener('abort', end)
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }

  #end(): void {
    this.#timeUp.abort(exceeded(0, `the program ran longer than ${this.#limitMs} ms`))
  }
}

function failure(error: unknown): {
  status: 'failed'
  error: { readonly code: string; readonly message: string }
} {
  const { code, message } = asVestryError(error)
  return { status: 'failed', error: { code, message } }
}

function since(startedMs: number): number {
  return Math.round(performance.now() - startedMs)
}

/**
 * Generators, plain and asynchronous. The body runs in the context of whoever asks for the next value,
 * so each step is run inside the span. The generator stays the object it was, its three methods covered.
 */
import { types } from 'node:util'
import { applyIn, invoke } from '../active.ts'
import type { Call } from './call.ts'
import { addLayer } from './layers.ts'
import { dataMember, type Method, methodOf, shadow } from './own-data.ts'
import { afterStep } from './promise.ts'
import { whenCollected } from './unfinished.ts'
import { Yields } from './yields.ts'

const STEPS = ['next', 'return', 'throw'] as const
type Step = (typeof STEPS)[number]

/** For where these are accessors, as frozen built-ins are. */
const NATIVE = { sync: stepsOf(function* () {}), async: stepsOf(async function* () {}) }

function stepsOf(body: { readonly prototype: object }): Readonly<Record<Step, Method>> {
  const steps = Object.getPrototypeOf(body.prototype) as Record<Step, Method>
  return { next: steps.next, return: steps.return, throw: steps.throw }
}

/** @returns Whether it is one; it is then observed. */
export function observeGenerator(call: Call, value: object): boolean {
  if (!types.isGeneratorObject(value) || !Object.isExtensible(value)) return false
  if (!addLayer(value)) return false
  const yields = new Yields(call)
  const body = new Body(call, yields)
  const kind = Symbol.asyncIterator in value ? 'async' : 'sync'
  for (const name of STEPS) {
    const step = methodOf(value, name) ?? NATIVE[kind][name]
    coverStep(value, name, step, body)
  }
  whenCollected(value, call, 'abandoned', () => yields.ofGenerator())
  return true
}

class Body {
  readonly call: Call
  readonly #yields: Yields
  /** A body that asks itself for a value is refused by the language, and goes on. */
  running = false

  constructor(call: Call, yields: Yields) {
    this.call = call
    this.#yields = yields
  }

  get seen() {
    return this.#yields.ofGenerator()
  }

  took(taken: unknown, step: Step): void {
    if (this.call.span.ended) return
    const value = dataMember(taken, 'value')
    if (dataMember(taken, 'done') !== true) this.#yields.add(value)
    else if (step === 'return' && this.call.isAborted()) this.call.finish('cancelled', this.seen)
    else this.call.succeed(value, this.seen)
  }

  failed(error: unknown): void {
    if (!this.call.span.ended) this.call.fail(error, this.seen)
  }
}

function coverStep(generator: object, name: Step, step: Method, body: Body): void {
  shadow(generator, name, function (this: unknown, ...args) {
    if (body.running) return invoke(step, this, args)
    let taken: unknown
    body.running = true
    try {
      taken = applyIn(body.call.span.active, step, this, args)
    } catch (error) {
      body.failed(error)
      throw error
    } finally {
      body.running = false
    }
    const later = afterStep(
      taken,
      (settled) => body.took(settled, name),
      (error) => body.failed(error),
    )
    if (later === undefined) body.took(taken, name)
    return later ?? taken
  })
}

/**
 * What one run uses up, and the state that its parts share. Counts are the same at each run over the same answers:
 * they come from the program and its values alone, never from a clock or from what the process does with its memory.
 */
import type { Block, Param } from '../ast.ts'
import {
  Duration,
  type EffectCall,
  type ProgramStep,
  SecretRef,
  Size,
  Tagged,
  type Value,
} from '../host.ts'
import { Closure, Environment } from './environment.ts'
import { exceeded } from './fault.ts'

export interface RunLimits {
  readonly steps: number
  readonly callDepth: number
  /** Of each `while`. */
  readonly whileIterations: number
  /** Bytes of all values that can still be reached, as estimated. */
  readonly memory: number
  readonly wallClockMs: number
}

const MIB = 1024 * 1024

export const DEFAULT_RUN_LIMITS: RunLimits = {
  steps: 1_000_000,
  callDepth: 100,
  whileIterations: 10_000,
  memory: 64 * MIB,
  wallClockMs: 60_000,
}

/** What a run asks of who drives it. `pause`: let others run. */
export type Ask =
  | { readonly kind: 'effect'; readonly call: EffectCall }
  | { readonly kind: 'pause' }
export const PAUSE: Ask = { kind: 'pause' }

/** A part of a run. It computes between asks, and is handed the answer to each effect. */
export type Run<T> = Generator<Ask, T, Value | undefined>

export interface Callable {
  readonly name: string
  readonly params: readonly Param[]
  readonly block: Block
}

/** Where a run stood, to go back to when an error is caught. */
export interface Mark {
  readonly depth: number
  readonly calls: number
  readonly roots: number
  readonly where: string
}

/** Steps between two looks at the clock and the rest of the process. */
const PAUSE_EVERY = 2_000
/**
 * Steps that one operation may take before anybody else gets a turn: about 20 ms. Others wait for it, since it cannot
 * be interrupted, so it ends the run.
 */
export const MAX_STEPS_AT_ONCE = 100_000
/**
 * Blocks and expressions within each other at one time, over all calls. Each takes a piece of the process's stack, which
 * holds 640 of the largest: the program must end here and not there, so that it ends at the same place each time.
 */
export const MAX_DEPTH = 550
/** Steps that an effect counts for: it costs more than what it takes to ask for it. */
export const EFFECT_STEPS = 100

export class Machine {
  readonly limits: RunLimits
  readonly callables: ReadonlyMap<string, Callable>
  readonly capabilities: ReadonlySet<string>
  readonly globals = new Environment()
  /** Nothing but computing: effects are refused. */
  readonly pure: boolean
  readonly report: (step: ProgramStep) => void
  /** Everything that is held while something else is worked out. */
  readonly roots: (Value | Environment)[] = [this.globals]
  steps = 0
  depth = 0
  calls = 0
  effects = 0
  /** The action or function that runs. */
  where = ''
  #pauseAt = PAUSE_EVERY
  #live = 0
  #fresh = 0

  constructor(given: {
    limits: RunLimits
    callables?: ReadonlyMap<string, Callable>
    capabilities?: readonly string[]
    pure?: boolean
    report?: (step: ProgramStep) => void
  }) {
    this.limits = given.limits
    this.callables = given.callables ?? new Map()
    this.capabilities = new Set(given.capabilities)
    this.pure = given.pure ?? false
    this.report = given.report ?? (() => undefined)
  }

  /** @throws VestryError DSL_LIMIT */
  work(steps: number, line: number): void {
    this.steps += steps
    if (this.steps > this.limits.steps)
      throw exceeded(line, `the program took more than ${this.limits.steps} steps`)
    if (this.steps > this.#pauseAt + MAX_STEPS_AT_ONCE)
      throw exceeded(line, `one operation took more than ${MAX_STEPS_AT_ONCE} steps`)
  }

  /** Goes one expression deeper. @throws VestryError DSL_LIMIT */
  enter(line: number): void {
    this.depth += 1
    if (this.depth > MAX_DEPTH) throw exceeded(line, 'the program nests too deeply')
    this.work(1, line)
  }

  /** True once every so many steps. */
  pauseDue(): boolean {
    if (this.steps < this.#pauseAt) return false
    this.#pauseAt = this.steps + PAUSE_EVERY
    return true
  }

  /** Before a value of that size is made. @throws VestryError DSL_LIMIT */
  reserve(bytes: number, line: number): void {
    const { memory } = this.limits
    this.#fresh += bytes
    if (this.#live + this.#fresh <= memory) return
    const { live, nodes } = this.#measure()
    if (live + bytes > memory) throw exceeded(line, `its values take more than ${memory} bytes`)
    this.#live = live
    this.#fresh = bytes
    // Measuring often is what a program does that keeps close to the limit: it pays for it.
    this.work(nodes / 4, line)
  }

  mark(): Mark {
    const { depth, calls, where } = this
    return { depth, calls, where, roots: this.roots.length }
  }

  back({ depth, calls, roots, where }: Mark): void {
    this.depth = depth
    this.calls = calls
    this.where = where
    this.roots.length = roots
  }

  /** A text counts wherever it is referred to; lists and records count once. */
  #measure(): { live: number; nodes: number } {
    const seen = new Set<object>()
    const stack: (Value | Environment)[] = [...this.roots]
    let live = 0
    let nodes = 0
    for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
      nodes += 1
      live += shallowSize(value)
      if (typeof value !== 'object' || value === null || seen.has(value)) continue
      seen.add(value)
      if (!Array.isArray(value)) {
        for (const part of parts(value)) stack.push(part)
        continue
      }
      nodes += value.length
      for (const part of value as readonly Value[]) {
        if (typeof part === 'object' && part !== null) stack.push(part)
        else live += shallowSize(part)
      }
    }
    return { live, nodes }
  }
}

function* parts(value: object): Iterable<Value | Environment> {
  if (value instanceof Environment) {
    yield* value.values()
    if (value.parent !== undefined) yield value.parent
  } else if (value instanceof Closure) yield value.environment
  else if (value instanceof Tagged) yield* value.args
  else if (!isAtom(value)) yield* Object.values(value as Readonly<Record<string, Value>>)
}

function isAtom(value: object): boolean {
  return value instanceof SecretRef || value instanceof Duration || value instanceof Size
}

/** Bytes of the value itself, without those that it refers to. */
export function shallowSize(value: Value | Environment): number {
  if (typeof value === 'string') return textSize(value.length)
  if (typeof value !== 'object' || value === null) return 8
  if (Array.isArray(value)) return listSize(value.length)
  if (value instanceof Environment || value instanceof Tagged || isAtom(value)) return 48
  if (value instanceof Closure) return 48
  return Object.keys(value).reduce((sum, key) => sum + 24 + 2 * key.length, 32)
}

export function textSize(length: number): number {
  return 24 + 2 * length
}

export function listSize(length: number): number {
  return 32 + 8 * length
}

/** Names and their values: one table for each block, looked up from the inside out. */
import type { Expression } from '../ast.ts'
import { Lambda, type Value } from '../host.ts'

export class Environment {
  readonly #values = new Map<string, Value>()
  readonly #constants = new Set<string>()
  readonly parent: Environment | undefined

  constructor(parent?: Environment) {
    this.parent = parent
  }

  define(name: string, value: Value, constant = false): void {
    this.#values.set(name, value)
    if (constant) this.#constants.add(name)
  }

  /** Undefined: there is no such name. */
  find(name: string): Value | undefined {
    const holder = this.#holder(name)
    return holder === undefined ? undefined : holder.#values.get(name)
  }

  /** Tells what kept it from being done. */
  assign(name: string, value: Value): 'done' | 'unknown' | 'constant' {
    const holder = this.#holder(name)
    if (holder === undefined) return 'unknown'
    if (holder.#constants.has(name)) return 'constant'
    holder.#values.set(name, value)
    return 'done'
  }

  values(): Iterable<Value> {
    return this.#values.values()
  }

  #holder(name: string): Environment | undefined {
    let at: Environment | undefined = this
    while (at !== undefined && !at.#values.has(name)) at = at.parent
    return at
  }
}

/** `x => x + 1`, with the names that it sees. */
export class Closure extends Lambda {
  readonly param: string
  readonly body: Expression
  readonly environment: Environment

  constructor(param: string, body: Expression, environment: Environment) {
    super(() => Promise.reject(new TypeError('a function value is called by its program only')))
    this.param = param
    this.body = body
    this.environment = environment
  }
}

/** A declared function used as a value, as in `map(list, upper_all)`. */
export class FunctionValue extends Lambda {
  readonly name: string

  constructor(name: string) {
    super(() => Promise.reject(new TypeError('a function value is called by its program only')))
    this.name = name
  }
}

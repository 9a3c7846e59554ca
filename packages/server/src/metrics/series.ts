/**
 * The series of one metric, found by label values without allocating. The number of series is bounded:
 * past it every new combination lands in one series whose labels all say `other`.
 */

export const OTHER = 'other'
/** A longer value is no member of a known list, so it is folded as well. */
const MAX_VALUE_CHARS = 128

type Level<C> = Map<string, Level<C> | C>

export interface Labelled<C> {
  readonly values: readonly string[]
  readonly cell: C
}

export class Series<C extends object> {
  readonly #depth: number
  readonly #limit: number
  readonly #create: () => C
  readonly #onOverflow: () => void
  readonly #root: Level<C> = new Map()
  readonly #all: Labelled<C>[] = []
  #other: C | undefined

  constructor(depth: number, limit: number, create: () => C, onOverflow: () => void) {
    this.#depth = depth
    this.#limit = limit
    this.#create = create
    this.#onOverflow = onOverflow
    // Without labels there is exactly one series, and it is there from the start, at zero.
    if (depth === 0) this.#add([])
  }

  /** Every series, in order of appearance. */
  all(): readonly Labelled<C>[] {
    return this.#all
  }

  /** Values beyond the metric's labels are ignored, missing ones are empty. */
  at(a = '', b = '', c = '', d = ''): C {
    const depth = this.#depth
    if (depth === 0) return this.#first()
    let level = this.#root
    // Fixed positions instead of a rest array: this runs on every request.
    for (let i = 0; i < depth; i += 1) {
      const value = i === 0 ? a : i === 1 ? b : i === 2 ? c : d
      const next = level.get(value)
      if (next === undefined) return this.#miss([a, b, c, d].slice(0, depth))
      if (!(next instanceof Map)) return next
      level = next
    }
    return this.#first()
  }

  #first(): C {
    const [only] = this.#all
    return only?.cell ?? this.#add([])
  }

  #miss(values: string[]): C {
    const short = values.every((value) => value.length <= MAX_VALUE_CHARS)
    if (short && this.#all.length < this.#limit) return this.#add(values)
    this.#onOverflow()
    this.#other ??= this.#add(values.map(() => OTHER))
    return this.#other
  }

  #add(values: string[]): C {
    const cell = this.#create()
    let level = this.#root
    for (const [i, value] of values.entries()) {
      if (i === values.length - 1) {
        const present = level.get(value)
        if (present !== undefined && !(present instanceof Map)) return present
        level.set(value, cell)
        break
      }
      const next = level.get(value)
      if (next instanceof Map) level = next
      else {
        const fresh: Level<C> = new Map()
        level.set(value, fresh)
        level = fresh
      }
    }
    this.#all.push({ values, cell })
    return cell
  }
}

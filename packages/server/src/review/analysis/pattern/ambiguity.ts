/**
 * Whether a regular expression can be made to try exponentially many ways. A matcher that goes back tries every way in
 * which a text fits; there are that many if, from some point of the pattern, the same text leads back to that point in
 * two ways. The pattern becomes an automaton of its character positions (Glushkov), which is walked in pairs. Nothing
 * is run, and the work is bounded.
 */
import { type CharSet, intersect, overlap } from './char-set.ts'
import { type PatternNode, parsePattern } from './parse-pattern.ts'

export type Verdict =
  | { readonly kind: 'fine' | 'invalid' | 'too_large' }
  | { readonly kind: 'explodes'; readonly how: 'nested' | 'overlapping' | 'in_a_row' }

const MAX_PATTERN = 4_096
/** For one pattern. */
const MAX_STEPS = 200_000
/** Repeating less often than this cannot do much by itself. */
const SMALL = 3
/** Loops that can take this many characters count when they stand in a row. */
const WIDE = 64
/** So many overlapping wide loops in a row cost the cube of the length. */
const ROW = 3

/** What may be spent on all patterns of one tool. */
export interface Budget {
  steps: number
}

export function judgePattern(pattern: string, budget: Budget = { steps: MAX_STEPS }): Verdict {
  if (pattern.length > MAX_PATTERN || budget.steps <= 0) return { kind: 'too_large' }
  if (!isValid(pattern)) return { kind: 'invalid' }
  const parsed = parsePattern(pattern)
  if (parsed === undefined) return { kind: 'too_large' }
  for (const root of [parsed.root, ...parsed.looks]) {
    const automaton = new Automaton(root, Math.min(MAX_STEPS, budget.steps))
    const verdict = automaton.judge()
    budget.steps -= automaton.steps
    if (verdict.kind !== 'fine') return verdict
  }
  return { kind: 'fine' }
}

/** JSON Schema patterns are Unicode ones; many are written for the older mode. */
function isValid(pattern: string): boolean {
  return ['u', ''].some((flags) => {
    try {
      return new RegExp(pattern, flags) !== undefined
    } catch {
      return false
    }
  })
}

interface Fragment {
  readonly nullable: boolean
  readonly first: readonly number[]
  readonly last: readonly number[]
}

const EMPTY: Fragment = { nullable: true, first: [], last: [] }

class Automaton {
  readonly #sets: CharSet[] = []
  /** Position → next positions, and in how many ways each is reached; two are as good as more. */
  readonly #next: Map<number, number>[] = []
  readonly #wide = new Set<number>()
  readonly #maxSteps: number
  #steps = 0

  constructor(root: PatternNode, maxSteps: number) {
    this.#maxSteps = maxSteps
    this.#build(root, false)
  }

  get steps(): number {
    return this.#steps
  }

  judge(): Verdict {
    if (this.#steps > this.#maxSteps) return { kind: 'too_large' }
    const component = this.#components()
    for (const [from, targets] of this.#next.entries()) {
      for (const [to, ways] of targets) {
        if (ways > 1 && component[from] === component[to])
          return { kind: 'explodes', how: 'nested' }
      }
    }
    if (this.#meetsAgain(component)) return { kind: 'explodes', how: 'overlapping' }
    if (this.#longestRow(component) >= ROW) return { kind: 'explodes', how: 'in_a_row' }
    return { kind: this.#steps > this.#maxSteps ? 'too_large' : 'fine' }
  }

  #build(node: PatternNode, inLoop: boolean): Fragment {
    switch (node.kind) {
      case 'chars': {
        if (node.set.length === 0) return EMPTY
        const at = this.#sets.push(node.set) - 1
        this.#next.push(new Map())
        return { nullable: false, first: [at], last: [at] }
      }
      case 'sequence':
        return node.parts.reduce<Fragment>((before, part) => {
          const fragment = this.#build(part, inLoop)
          this.#connect(before.last, fragment.first)
          return {
            nullable: before.nullable && fragment.nullable,
            first: before.nullable ? [...before.first, ...fragment.first] : before.first,
            last: fragment.nullable ? [...fragment.last, ...before.last] : fragment.last,
          }
        }, EMPTY)
      case 'choice': {
        const options = node.options.map((option) => this.#build(option, inLoop))
        return {
          nullable: options.some(({ nullable }) => nullable),
          first: options.flatMap(({ first }) => first),
          last: options.flatMap(({ last }) => last),
        }
      }
      case 'repeat': {
        if (node.max === 0) return EMPTY
        const loops = isLoop(node, inLoop)
        const { first, last, nullable } = this.#build(node.body, inLoop || loops)
        if (loops) this.#connect(last, first)
        if (node.max >= WIDE && first.length === 1 && first[0] !== undefined)
          this.#wide.add(first[0])
        return { nullable: nullable || node.min === 0, first, last }
      }
    }
  }

  #connect(from: readonly number[], to: readonly number[]): void {
    // A connection costs several times what a look at one does.
    this.#steps += 4 * from.length * to.length
    if (this.#steps > this.#maxSteps) return
    for (const one of from) {
      const targets = this.#next[one]
      for (const other of to) targets?.set(other, Math.min(2, (targets.get(other) ?? 0) + 1))
    }
  }

  /** Positions that can reach each other have the same number (Tarjan, without recursion). */
  #components(): number[] {
    const count = this.#next.length
    const order = new Array<number>(count).fill(-1)
    const low = new Array<number>(count).fill(-1)
    const component = new Array<number>(count).fill(-1)
    const open: number[] = []
    let seen = 0
    let found = 0
    for (let root = 0; root < count; root += 1) {
      if (order[root] !== -1) continue
      const path: { at: number; rest: Iterator<number> }[] = []
      const enter = (at: number): void => {
        order[at] = low[at] = seen
        seen += 1
        open.push(at)
        path.push({ at, rest: (this.#next[at] ?? new Map<number, number>()).keys() })
      }
      enter(root)
      for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
        const { at, rest } = top
        const { value: to, done } = rest.next()
        if (done !== true) {
          if (order[to] === -1) enter(to)
          else if (component[to] === -1) low[at] = Math.min(low[at] ?? 0, order[to] ?? 0)
          continue
        }
        path.pop()
        const above = path.at(-1)?.at
        if (above !== undefined) low[above] = Math.min(low[above] ?? 0, low[at] ?? 0)
        if (low[at] !== order[at]) continue
        for (let member = open.pop(); member !== undefined; member = open.pop()) {
          component[member] = found
          if (member === at) break
        }
        found += 1
      }
    }
    return component
  }

  /** Two ways part at one position, take the same characters, and meet again, all within one loop. */
  #meetsAgain(component: readonly number[]): boolean {
    const count = this.#next.length
    const inside = (from: number): number[] =>
      [...(this.#next[from]?.keys() ?? [])].filter((to) => component[to] === component[from])
    const loops = this.#next.map((_, at) => inside(at))
    const seen = new Set<number>()
    const queue: [number, number][] = []
    const visit = (one: number, other: number): boolean => {
      for (const a of loops[one] ?? []) {
        for (const b of loops[other] ?? []) {
          this.#steps += 1
          if (this.#steps > this.#maxSteps) return false
          if (a === b) {
            if (one !== other) return true
            continue
          }
          const [low, high] = a < b ? [a, b] : [b, a]
          if (seen.has(low * count + high)) continue
          if (!overlap(this.#sets[low] ?? [], this.#sets[high] ?? [])) continue
          seen.add(low * count + high)
          queue.push([low, high])
        }
      }
      return false
    }
    for (let at = 0; at < count; at += 1) if (visit(at, at)) return true
    for (let pair = queue.pop(); pair !== undefined; pair = queue.pop()) {
      if (visit(...pair)) return true
    }
    return false
  }

  /** How many wide loops follow each other directly and share a character. */
  #longestRow(component: readonly number[]): number {
    let longest = 0
    const follow = (at: number, shared: CharSet, length: number): void => {
      longest = Math.max(longest, length)
      if (longest >= ROW || this.#steps > this.#maxSteps) return
      for (const to of this.#next[at]?.keys() ?? []) {
        this.#steps += 1
        if (component[to] === component[at] || !this.#wide.has(to)) continue
        const common = intersect(shared, this.#sets[to] ?? [])
        if (common.length > 0) follow(to, common, length + 1)
      }
    }
    for (const at of this.#wide) follow(at, this.#sets[at] ?? [], 1)
    return longest
  }
}

/**
 * Counted repetitions are taken as endless where their number matters. `[0-9a-f]{2}` in a loop is not a loop itself:
 * it always takes the same amount.
 */
function isLoop({ body, min, max }: PatternNode & { kind: 'repeat' }, inLoop: boolean): boolean {
  if (max < 2) return false
  const fixed = min === max && lengthOf(body) !== undefined
  return inLoop ? !fixed && min !== max : max > SMALL
}

/** The number of characters it takes, if that is always the same. */
function lengthOf(node: PatternNode): number | undefined {
  switch (node.kind) {
    case 'chars':
      return 1
    case 'sequence':
      return node.parts.reduce<number | undefined>((sum, part) => add(sum, lengthOf(part)), 0)
    case 'choice': {
      const [first, ...more] = node.options.map(lengthOf)
      return more.every((length) => length === first) ? first : undefined
    }
    case 'repeat': {
      const length = lengthOf(node.body)
      return node.min === node.max && length !== undefined ? length * node.min : undefined
    }
  }
}

function add(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b
}

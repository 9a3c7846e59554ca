/**
 * Searches text for a pattern in time proportional to its length: all ways to match are followed at once, so no
 * text makes it try again, and a deadline bounds the rest. JavaScript's own engine offers neither.
 */
import { VestryError } from '@vestry/contract/errors'
import { CharSet, WORD } from './char-set.ts'
import { type Pattern, parsePattern } from './pattern-syntax.ts'

export type Verdict = 'found' | 'absent' | 'late'

type Edge = Extract<Pattern, { kind: 'edge' }>['edge']

type Step =
  | { readonly kind: 'set'; readonly set: CharSet }
  | { readonly kind: 'edge'; readonly edge: Edge }
  /** Goes on at either place. */
  | { readonly kind: 'fork'; readonly one: number; readonly other: number }
  | { readonly kind: 'match' }

/** Each step costs at each character, so they are bounded, counts being written out. */
const MAX_STEPS = 2_000

/** Between two looks at the clock; well below a millisecond. */
const WORK_PER_LOOK = 20_000

const WORD_UNITS = new CharSet(WORD)

export class LinearPattern {
  readonly #steps: readonly Step[]
  /** By code unit: whether a match may begin with it. Undefined when one may begin with none. */
  readonly #beginners: Uint8Array | undefined

  /** @throws VestryError `POLICY_INVALID` for what is not a pattern, or not one of this kind. */
  constructor(source: string) {
    const steps: Step[] = []
    write(parsePattern(source), steps)
    push(steps, { kind: 'match' })
    this.#steps = steps
    this.#beginners = beginnersOf(steps)
  }

  /** @param deadlineMs On the clock of `now`. */
  search(text: string, deadlineMs: number, now: () => number): Verdict {
    const steps = this.#steps
    let here = new Threads(steps, text)
    let next = new Threads(steps, text)
    let work = 0
    for (let at = 0; at <= text.length; at += 1) {
      if (here.size === 0 && this.#beginners !== undefined) {
        const start = this.#nextStart(text, at, this.#beginners)
        work += (start - at) >> 3
        at = start
      }
      here.add(0, at)
      if (here.matched) return 'found'
      const unit = text.charCodeAt(at)
      for (let index = 0; index < here.size; index += 1) {
        const place = here.at(index)
        const step = steps[place]
        if (step?.kind === 'set' && step.set.has(unit)) next.add(place + 1, at + 1)
      }
      if (next.matched) return 'found'
      work += here.size + 1
      if (work > WORK_PER_LOOK) {
        if (now() > deadlineMs) return 'late'
        work = 0
      }
      here.clear()
      ;[here, next] = [next, here]
    }
    return 'absent'
  }

  #nextStart(text: string, from: number, beginners: Uint8Array): number {
    let at = from
    while (at < text.length && beginners[text.charCodeAt(at)] === 0) at += 1
    return at
  }
}

/** Where in the pattern the text may be, each place once. */
class Threads {
  readonly #steps: readonly Step[]
  readonly #text: string
  readonly #places: Uint16Array
  /** By place: the round in which it was last added. */
  readonly #added: Uint32Array
  #round = 1
  size = 0
  matched = false

  constructor(steps: readonly Step[], text: string) {
    this.#steps = steps
    this.#text = text
    this.#places = new Uint16Array(steps.length)
    this.#added = new Uint32Array(steps.length)
  }

  at(index: number): number {
    return this.#places[index] ?? 0
  }

  clear(): void {
    this.size = 0
    this.#round += 1
  }

  /** Adds a place and all that follow from it without another character. */
  add(place: number, at: number): void {
    const open = [place]
    for (let current = open.pop(); current !== undefined; current = open.pop()) {
      if (this.#added[current] === this.#round) continue
      this.#added[current] = this.#round
      const step = this.#steps[current]
      if (step === undefined) continue
      if (step.kind === 'set') this.#places[this.size++] = current
      else if (step.kind === 'match') this.matched = true
      else if (step.kind === 'fork') open.push(step.other, step.one)
      else if (isAtEdge(step.edge, this.#text, at)) open.push(current + 1)
    }
  }
}

function isAtEdge(edge: Edge, text: string, at: number): boolean {
  if (edge === 'start') return at === 0
  if (edge === 'end') return at === text.length
  const differs = isWord(text, at - 1) !== isWord(text, at)
  return edge === 'word' ? differs : !differs
}

function isWord(text: string, at: number): boolean {
  return at >= 0 && at < text.length && WORD_UNITS.has(text.charCodeAt(at))
}

function write(pattern: Pattern, steps: Step[]): void {
  switch (pattern.kind) {
    case 'set':
      push(steps, { kind: 'set', set: new CharSet(pattern.ranges) })
      return
    case 'edge':
      push(steps, pattern)
      return
    case 'sequence':
      for (const item of pattern.items) write(item, steps)
      return
    case 'either':
      writeEither(pattern.items, steps)
      return
    case 'repeat':
      for (let count = 0; count < pattern.min; count += 1) write(pattern.item, steps)
      if (pattern.max === Number.POSITIVE_INFINITY) writeLoop(pattern.item, steps)
      else writeOptional(pattern.item, pattern.max - pattern.min, steps)
  }
}

function writeEither(items: readonly Pattern[], steps: Step[]): void {
  const ends: number[] = []
  for (const [index, item] of items.entries()) {
    const isLast = index === items.length - 1
    const fork = isLast ? undefined : reserve(steps)
    write(item, steps)
    if (!isLast) ends.push(reserve(steps))
    if (fork !== undefined) steps[fork] = forkTo(fork + 1, steps.length)
  }
  for (const end of ends) steps[end] = forkTo(steps.length, steps.length)
}

function writeLoop(item: Pattern, steps: Step[]): void {
  const fork = reserve(steps)
  write(item, steps)
  push(steps, forkTo(fork, fork))
  steps[fork] = forkTo(fork + 1, steps.length)
}

function writeOptional(item: Pattern, count: number, steps: Step[]): void {
  const forks: number[] = []
  for (let copy = 0; copy < count; copy += 1) {
    forks.push(reserve(steps))
    write(item, steps)
  }
  for (const fork of forks) steps[fork] = forkTo(fork + 1, steps.length)
}

function forkTo(one: number, other: number): Step {
  return { kind: 'fork', one, other }
}

/** A place to be filled in when it is known where it leads. */
function reserve(steps: Step[]): number {
  return push(steps, forkTo(0, 0))
}

function push(steps: Step[], step: Step): number {
  if (steps.length >= MAX_STEPS) {
    throw new VestryError('POLICY_INVALID', 'The pattern is too large', {
      hint: 'Use smaller counts.',
    })
  }
  return steps.push(step) - 1
}

function beginnersOf(steps: readonly Step[]): Uint8Array | undefined {
  const beginners = new Uint8Array(0x10000)
  const seen = new Set<number>()
  const open = [0]
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    const step = steps[place]
    if (step === undefined || seen.has(place)) continue
    seen.add(place)
    if (step.kind === 'match') return undefined
    if (step.kind === 'edge') return undefined
    if (step.kind === 'fork') open.push(step.one, step.other)
    else for (const [from, to] of step.set.ranges) beginners.fill(1, from, to + 1)
  }
  return beginners
}

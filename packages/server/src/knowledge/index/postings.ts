/**
 * Which passages have which words, in memory, and what the words say of each of them: BM25 among the passages of some
 * classes only. What other passages say has no part in it, so a score tells nothing of what one may not see.
 */

/** How fast a word that is repeated stops counting, and how much a long passage is held against it (Robertson 1994). */
const K1 = 1.2
const B = 0.75
const MOST_COUNTED = 255
/** That one query may walk through; the commonest of its words do without. */
const MAX_WALKED = 2_000_000

/** A passage and how often it has the word, as `slot << 8 | count`; or a word and how often the passage has it. */
export type Packed = number
export const packed = (of: number, count: number): Packed =>
  of * 256 + Math.min(count, MOST_COUNTED)
export const packedOf = (one: Packed): number => Math.floor(one / 256)

/** Ascending by slot. */
interface List {
  data: Uint32Array
  size: number
}

export interface Worded {
  /** BM25 for every mark that a passage gets which has each word of the query once: about 1 for one that answers. */
  readonly bm25: number
  /** From 0 to 1: which part of the query's words it has, rare ones counting for more. */
  readonly share: number
}

export interface WordedPassages {
  /** Of the best, in no order. */
  readonly ids: readonly number[]
  of(id: number): Worded
}

const NOTHING: Worded = { bm25: 0, share: 0 }

export class Postings {
  /** By number of the word. Most words are in one passage only: for them no list is made. */
  readonly #lists: (List | Packed | undefined)[] = []
  readonly #slots = new Map<number, number>()
  readonly #free: number[] = []
  #ids = new Float64Array(1_024)
  /** -1 where a slot is free. */
  #classes = new Int32Array(1_024).fill(-1)
  #lengths = new Uint32Array(1_024)
  #end = 0
  readonly #ofClass = new Map<number, { passages: number; length: number }>()

  /** @param terms {@link Packed} numbers of words. */
  add(id: number, classNumber: number, terms: Uint32Array): void {
    const slot = this.#free.pop() ?? this.#end++
    if (slot === this.#ids.length) this.#grow()
    const length = lengthOf(terms)
    this.#slots.set(id, slot)
    this.#ids[slot] = id
    this.#classes[slot] = classNumber
    this.#lengths[slot] = length
    this.#tally(classNumber, 1, length)
    for (const term of terms) this.#insert(packedOf(term), packed(slot, term & 255))
  }

  /** @param terms As they were added. @returns numbers of the words that no passage has any more */
  remove(id: number, terms: Uint32Array): number[] {
    const slot = this.#slots.get(id)
    if (slot === undefined) return []
    this.#slots.delete(id)
    this.#tally(this.#classes[slot] ?? -1, -1, this.#lengths[slot] ?? 0)
    this.#classes[slot] = -1
    this.#free.push(slot)
    return Array.from(terms, packedOf).filter((term) => this.#takeOut(term, slot))
  }

  /**
   * @param terms Numbers of the query's words; undefined for one that is nowhere.
   * @param classes Nothing else is looked at.
   */
  search(
    terms: readonly (number | undefined)[],
    classes: ReadonlySet<number>,
    limit: number,
  ): WordedPassages {
    const allowed = this.#allowed(classes)
    const { passages, average } = this.#extent(classes)
    const words = terms
      .map((term) => {
        const list = this.#list(term)
        return { list, count: this.#countWithin(list, allowed) }
      })
      .sort((a, b) => a.count - b.count)
      .map((word) => ({ ...word, weight: weightOf(word.count, passages) }))
    const all = words.reduce((sum, { weight }) => sum + weight, 0)
    if (all === 0) return { ids: [], of: () => NOTHING }
    const scores = new Float32Array(this.#end)
    const shares = new Float32Array(this.#end)
    let walked = 0
    for (const { list, weight } of words) {
      walked += list.length
      if (walked > MAX_WALKED && walked > list.length) break
      for (const one of list) {
        const slot = one >>> 8
        if (allowed[slot] !== 1) continue
        const count = one & 255
        const long = 1 - B + (B * (this.#lengths[slot] ?? 0)) / average
        scores[slot] = (scores[slot] ?? 0) + (weight * count * (K1 + 1)) / (count + K1 * long)
        shares[slot] = (shares[slot] ?? 0) + weight
      }
    }
    return {
      ids: best(scores, limit).map((slot) => this.#ids[slot] ?? 0),
      of: (id) => {
        const slot = this.#slots.get(id)
        if (slot === undefined) return NOTHING
        return { bm25: (scores[slot] ?? 0) / all, share: (shares[slot] ?? 0) / all }
      },
    }
  }

  /** By slot: one look for each entry of a list. */
  #allowed(classes: ReadonlySet<number>): Uint8Array {
    const allowed = new Uint8Array(this.#end)
    for (let slot = 0; slot < allowed.length; slot++)
      if (classes.has(this.#classes[slot] ?? -1)) allowed[slot] = 1
    return allowed
  }

  #extent(classes: ReadonlySet<number>): { passages: number; average: number } {
    let passages = 0
    let length = 0
    for (const one of classes) {
      const of = this.#ofClass.get(one)
      passages += of?.passages ?? 0
      length += of?.length ?? 0
    }
    return { passages, average: Math.max(1, length / Math.max(1, passages)) }
  }

  #list(term: number | undefined): Uint32Array {
    const list = term === undefined ? undefined : this.#lists[term]
    if (list === undefined) return new Uint32Array()
    return typeof list === 'number' ? Uint32Array.of(list) : list.data.subarray(0, list.size)
  }

  #countWithin(list: Uint32Array, allowed: Uint8Array): number {
    let count = 0
    for (const one of list) count += allowed[one >>> 8] ?? 0
    return count
  }

  #tally(classNumber: number, passages: number, length: number): void {
    const of = this.#ofClass.get(classNumber) ?? { passages: 0, length: 0 }
    of.passages += passages
    of.length += passages * length
    this.#ofClass.set(classNumber, of)
  }

  #insert(term: number, one: Packed): void {
    const known = this.#lists[term]
    if (known === undefined) {
      this.#lists[term] = one
      return
    }
    const list = typeof known === 'number' ? { data: Uint32Array.of(known, 0), size: 1 } : known
    this.#lists[term] = list
    if (list.size === list.data.length) {
      const data = new Uint32Array(Math.ceil(list.size * 1.5))
      data.set(list.data)
      list.data = data
    }
    const at = placeOf(list, one)
    list.data.copyWithin(at + 1, at, list.size)
    list.data[at] = one
    list.size += 1
  }

  /** @returns whether nothing is left. */
  #takeOut(term: number, slot: number): boolean {
    const list = this.#lists[term]
    if (typeof list === 'object' && list.size > 1) {
      list.data.copyWithin(
        placeOf(list, packed(slot, 0)),
        placeOf(list, packed(slot + 1, 0)),
        list.size,
      )
      list.size -= 1
      return false
    }
    this.#lists[term] = undefined
    return true
  }

  #grow(): void {
    const size = this.#ids.length * 2
    const ids = new Float64Array(size)
    ids.set(this.#ids)
    const classes = new Int32Array(size).fill(-1)
    classes.set(this.#classes)
    const lengths = new Uint32Array(size)
    lengths.set(this.#lengths)
    this.#ids = ids
    this.#classes = classes
    this.#lengths = lengths
  }
}

/** Passages that hold none of the words: in a small store a word that most hold is not worth nothing. */
const UNSEEN = 10

/** Never negative, also for a word that is everywhere. */
function weightOf(count: number, passages: number): number {
  const all = passages + UNSEEN
  return Math.log(1 + (all - count + 0.5) / (count + 0.5))
}

function lengthOf(terms: Uint32Array): number {
  let length = 0
  for (const term of terms) length += term & 255
  return length
}

/** Of the first that is not less. */
function placeOf({ data, size }: List, one: Packed): number {
  if (size === 0 || (data[size - 1] ?? 0) < one) return size
  let from = 0
  let to = size
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((data[middle] ?? 0) < one) from = middle + 1
    else to = middle
  }
  return from
}

/** Slots of the highest scores; the same ones each time. */
function best(scores: Float32Array, limit: number): number[] {
  let found: number[] = []
  let least = 0
  const cut = (): void => {
    found.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b)
    found = found.slice(0, limit)
    if (found.length === limit) least = scores[found.at(-1) ?? 0] ?? 0
  }
  for (let slot = 0; slot < scores.length; slot++) {
    if ((scores[slot] ?? 0) <= least) continue
    found.push(slot)
    if (found.length >= limit * 8) cut()
  }
  cut()
  return found
}

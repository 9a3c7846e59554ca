/**
 * Vectors in memory, twice and small: the sign bits of each after a rotation, for a first look at all of them, and each
 * number as one byte, for a second look at the nearest. Of 512 dimensions that is 576 bytes. The rotation spreads every
 * dimension over all bits, so that sparse vectors have telling signs too.
 */

/** How many are nearest by signs and have their bytes compared, times bits: the more bits, the better the first look. */
const LOOKED_AT_BITS = 10_240 * 512
const HIGHEST = 127

/** Set bits of a 32-bit word. */
function ones(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555)
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

export class Signatures {
  readonly #dimension: number
  readonly #bits: number
  readonly #words: number
  readonly #flips: readonly Float32Array[]
  #ids = new Float64Array(1_024)
  #classes = new Int32Array(1_024)
  #data: Uint32Array
  #bytes: Int8Array
  /** Of one in bytes. */
  #units = new Float32Array(1_024)
  #size = 0
  readonly #slots = new Map<number, number>()

  constructor(dimension: number) {
    this.#dimension = dimension
    this.#bits = 2 ** Math.max(5, Math.ceil(Math.log2(dimension)))
    this.#words = this.#bits / 32
    this.#flips = [flips(this.#bits, 0x9e3779b9), flips(this.#bits, 0x7f4a7c15)]
    this.#data = new Uint32Array(1_024 * this.#words)
    this.#bytes = new Int8Array(1_024 * dimension)
  }

  get size(): number {
    return this.#size
  }

  add(id: number, classNumber: number, vector: Float32Array): void {
    if (this.#size === this.#ids.length) this.#grow()
    const slot = this.#size
    this.#size += 1
    this.#ids[slot] = id
    this.#classes[slot] = classNumber
    this.#data.set(this.#signsOf(vector), slot * this.#words)
    const { bytes, unit } = inBytes(vector)
    this.#bytes.set(bytes, slot * this.#dimension)
    this.#units[slot] = unit
    this.#slots.set(id, slot)
  }

  remove(id: number): void {
    const slot = this.#slots.get(id)
    if (slot === undefined) return
    this.#slots.delete(id)
    this.#size -= 1
    const last = this.#size
    if (slot === last) return
    const moved = this.#ids[last] ?? 0
    this.#ids[slot] = moved
    this.#classes[slot] = this.#classes[last] ?? 0
    this.#data.copyWithin(slot * this.#words, last * this.#words, (last + 1) * this.#words)
    const dimension = this.#dimension
    this.#bytes.copyWithin(slot * dimension, last * dimension, (last + 1) * dimension)
    this.#units[slot] = this.#units[last] ?? 0
    this.#slots.set(moved, slot)
  }

  /** Ids of the `limit` nearest, of these classes only, in no order; all of them if they are no more than that. */
  nearest(vector: Float32Array, classes: ReadonlySet<number>, limit: number): number[] {
    const slots = this.#bySigns(vector, classes, Math.max(limit, LOOKED_AT_BITS / this.#bits))
    if (slots.length <= limit) return slots.map((slot) => this.#ids[slot] ?? 0)
    const likeness = this.#byBytes(vector, slots)
    // Sorting numbers is native; sorting places by a function is what would cost most of a search.
    const sorted = likeness.toSorted()
    const least = sorted[slots.length - limit] ?? 0
    let asLittle = limit - (slots.length - 1 - sorted.lastIndexOf(least))
    return slots.flatMap((slot, at) => {
      const like = likeness[at] ?? 0
      const isNear = like > least || (like === least && asLittle-- > 0)
      return isNear ? [this.#ids[slot] ?? 0] : []
    })
  }

  #bySigns(vector: Float32Array, classes: ReadonlySet<number>, limit: number): number[] {
    const wanted = this.#signsOf(vector)
    const words = this.#words
    const slots = new Int32Array(this.#size)
    const distances = new Uint16Array(this.#size)
    const counts = new Uint32Array(this.#bits + 1)
    let found = 0
    const allowed = this.#allowed(classes)
    for (let slot = 0; slot < this.#size; slot++) {
      if (allowed[this.#classes[slot] ?? 0] !== 1) continue
      let distance = 0
      const at = slot * words
      for (let word = 0; word < words; word++)
        distance += ones((wanted[word] ?? 0) ^ (this.#data[at + word] ?? 0))
      slots[found] = slot
      distances[found] = distance
      counts[distance] = (counts[distance] ?? 0) + 1
      found += 1
    }
    const cut = cutOf(counts, limit)
    const nearest: number[] = []
    let atCut = limit - cut.below
    for (let at = 0; at < found; at++) {
      const distance = distances[at] ?? 0
      if (distance > cut.at || (distance === cut.at && atCut-- <= 0)) continue
      nearest.push(slots[at] ?? 0)
    }
    return nearest
  }

  #byBytes(vector: Float32Array, slots: readonly number[]): Float32Array {
    const { bytes: wanted } = inBytes(vector)
    const dimension = this.#dimension
    const all = this.#bytes
    return Float32Array.from(slots, (slot) => {
      let sum = 0
      const from = slot * dimension
      for (let at = 0; at < dimension; at++)
        sum = (sum + Math.imul(wanted[at] ?? 0, all[from + at] ?? 0)) | 0
      return sum * (this.#units[slot] ?? 0)
    })
  }

  #allowed(classes: ReadonlySet<number>): Uint8Array {
    let highest = 0
    for (const one of classes) highest = Math.max(highest, one)
    const allowed = new Uint8Array(highest + 1)
    for (const one of classes) allowed[one] = 1
    return allowed
  }

  #signsOf(vector: Float32Array): Uint32Array {
    const rotated = new Float32Array(this.#bits)
    rotated.set(vector.subarray(0, this.#dimension))
    for (const signs of this.#flips) {
      for (let at = 0; at < rotated.length; at++)
        rotated[at] = (rotated[at] ?? 0) * (signs[at] ?? 1)
      hadamard(rotated)
    }
    const signs = new Uint32Array(this.#words)
    for (let at = 0; at < rotated.length; at++)
      if ((rotated[at] ?? 0) > 0) signs[at >>> 5] = (signs[at >>> 5] ?? 0) | (1 << (at & 31))
    return signs
  }

  #grow(): void {
    const size = Math.ceil(this.#ids.length * 1.5)
    const ids = new Float64Array(size)
    ids.set(this.#ids)
    const classes = new Int32Array(size)
    classes.set(this.#classes)
    const data = new Uint32Array(size * this.#words)
    data.set(this.#data)
    this.#ids = ids
    this.#classes = classes
    this.#data = data
    const bytes = new Int8Array(size * this.#dimension)
    bytes.set(this.#bytes)
    this.#bytes = bytes
    const units = new Float32Array(size)
    units.set(this.#units)
    this.#units = units
  }
}

function inBytes(vector: Float32Array): { bytes: Int8Array; unit: number } {
  let highest = 0
  for (const value of vector) highest = Math.max(highest, Math.abs(value))
  const unit = highest / HIGHEST
  const bytes = new Int8Array(vector.length)
  if (unit === 0) return { bytes, unit }
  for (let at = 0; at < vector.length; at++) bytes[at] = Math.round((vector[at] ?? 0) / unit)
  return { bytes, unit }
}

/** The distance of the last one taken, and how many are nearer than that. */
function cutOf(counts: Uint32Array, limit: number): { at: number; below: number } {
  let below = 0
  for (let at = 0; at < counts.length; at++) {
    const here = counts[at] ?? 0
    if (below + here >= limit) return { at, below }
    below += here
  }
  return { at: counts.length, below }
}

function hadamard(values: Float32Array): void {
  for (let half = 1; half < values.length; half *= 2)
    for (let from = 0; from < values.length; from += half * 2)
      for (let at = from; at < from + half; at++) {
        const a = values[at] ?? 0
        const b = values[at + half] ?? 0
        values[at] = a + b
        values[at + half] = a - b
      }
}

/** Always the same, so that bits of two processes can be compared. */
function flips(length: number, seed: number): Float32Array {
  let state = seed
  return Float32Array.from({ length }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state & 1 ? 1 : -1
  })
}

/**
 * A map of bounded size that forgets what was not asked for lately. Two generations: when the young one
 * is full it becomes the old one, and what is asked for again moves back. Every call is cheap at any
 * size; evicting the single oldest entry of a large Map is not.
 */

export class RecentMap<K, V> {
  readonly #half: number
  #young = new Map<K, V>()
  #old = new Map<K, V>()

  /** @param limit Entries kept at most; the latest half of them for certain. */
  constructor(limit: number) {
    this.#half = Math.max(1, Math.ceil(limit / 2))
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  has(key: K): boolean {
    return this.#young.has(key) || this.#old.has(key)
  }

  get(key: K): V | undefined {
    const value = this.#young.get(key)
    if (value !== undefined || this.#young.has(key)) return value
    const older = this.#old.get(key)
    if (older === undefined && !this.#old.has(key)) return undefined
    this.set(key, older as V) // present, so it is a V even when V includes undefined
    return older
  }

  set(key: K, value: V): void {
    this.#old.delete(key)
    this.#young.set(key, value)
    if (this.#young.size < this.#half) return
    this.#old = this.#young
    this.#young = new Map()
  }

  clear(): void {
    this.#young = new Map()
    this.#old = new Map()
  }
}

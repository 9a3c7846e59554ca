/**
 * Whose turn it is on one connection (wire contract §3.4): requests run side by side, except that those
 * with the same id run one after the other, and that a barrier starts only after everything before it
 * has started and holds up everything behind it.
 */
import type { RequestId } from './request.ts'

export interface Turn {
  readonly id: RequestId
  readonly barrier: boolean
}

interface Place<T> {
  readonly turn: T
  started: boolean
  /** The next one with the same id. */
  next: Place<T> | undefined
  left: boolean
}

export class Turns<T extends Turn> {
  readonly #start: (turn: T) => void
  readonly #places = new Map<T, Place<T>>()
  readonly #lastWithId = new Map<RequestId, Place<T>>()
  #barrier: Place<T> | undefined
  #unstarted = 0

  /** @param start Called once for each turn, from {@link enter} or {@link leave}. */
  constructor(start: (turn: T) => void) {
    this.#start = start
  }

  /** Turns that entered and have not left. */
  get size(): number {
    return this.#places.size
  }

  /** Nothing may enter: a barrier has not left yet. */
  get held(): boolean {
    return this.#barrier !== undefined
  }

  /** In order of entry. */
  all(): IterableIterator<T> {
    return this.#places.keys()
  }

  enter(turn: T): void {
    const place: Place<T> = { turn, started: false, next: undefined, left: false }
    const before = this.#lastWithId.get(turn.id)
    if (before !== undefined) before.next = place
    this.#lastWithId.set(turn.id, place)
    this.#places.set(turn, place)
    const held = before !== undefined || (turn.barrier && this.#unstarted > 0)
    this.#unstarted += 1
    if (turn.barrier) this.#barrier = place
    if (!held) this.#begin(place)
  }

  /** One that leaves before it started never starts. */
  leave(turn: T): void {
    const place = this.#places.get(turn)
    if (place === undefined) return
    place.left = true
    this.#places.delete(turn)
    if (this.#barrier === place) this.#barrier = undefined
    if (place.started) this.#advance(place)
    else this.#unstarted -= 1
    const barrier = this.#barrier
    if (barrier !== undefined && !barrier.started && this.#unstarted === 1) {
      // It is the only one left to start, unless one with its id still runs before it.
      if (!this.#isBehind(barrier)) this.#begin(barrier)
    }
  }

  #advance(place: Place<T>): void {
    let next = place.next
    while (next?.left) next = next.next
    if (next === undefined) this.#lastWithId.delete(place.turn.id)
    else if (!next.turn.barrier) this.#begin(next)
  }

  #isBehind(barrier: Place<T>): boolean {
    for (const place of this.#places.values())
      if (place !== barrier && place.started && place.turn.id === barrier.turn.id) return true
    return false
  }

  #begin(place: Place<T>): void {
    place.started = true
    this.#unstarted -= 1
    this.#start(place.turn)
  }
}

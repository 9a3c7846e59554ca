/**
 * Which events of which producer have come. A producer's id means something only together with the process that
 * used it: nobody can make another process's events look like repetitions.
 */
import type { ProcessPeer, UnknownPeer } from '../../identity/claims/resolution.ts'
import type { Sequence } from './sequence.ts'

/** Producers without a connection that are remembered: of all processes, and of one, which has a few at most. */
const MAX_IDLE = 8_192
const MAX_IDLE_OF_ONE = 64

export interface ProducerState {
  readonly key: string
  /** The part of the key that names the process. */
  readonly owner: string
  readonly id: string
  readonly sequence: Sequence
  /** Drops that the producer itself told of. */
  dropped: number
  /** Refused lines that carried a number of it. */
  rejected: number
  /** The highest number whose record is in the log file. */
  written: number
  /** Connections that carry it now. */
  connections: number
  /** Missing events that a record told of already. */
  toldMissing: number
}

/**
 * @param connection Names the connection: peers without credentials, and those that had ended when they were looked
 *   at, cannot be told from others.
 */
export function producerKey(
  peer: ProcessPeer | UnknownPeer,
  connection: number,
  producer: string,
): string {
  return 'unavailable' in peer || peer.startTime === ''
    ? `?${connection} ${producer}`
    : `${peer.pid} ${peer.startTime} ${producer}`
}

export class ProducerBook {
  /** With a connection. */
  readonly #live = new Map<string, ProducerState>()
  /** Without one, the oldest first. */
  readonly #idle = new Map<string, ProducerState>()
  /** The same, by the process that used them. */
  readonly #idleOf = new Map<string, Set<ProducerState>>()

  get size(): number {
    return this.#live.size + this.#idle.size
  }

  get(key: string): ProducerState | undefined {
    return this.#live.get(key) ?? this.#idle.get(key)
  }

  /** A connection begins to carry the producer. */
  join(key: string, id: string, sequence: () => Sequence): ProducerState {
    const state = this.get(key) ?? newState(key, id, sequence())
    this.#forget(state)
    state.connections += 1
    this.#live.set(key, state)
    return state
  }

  /** A connection that carried it has ended. @returns Whether it was the last one. */
  leave(state: ProducerState): boolean {
    state.connections -= 1
    if (state.connections > 0) return false
    this.#live.delete(state.key)
    this.#idle.set(state.key, state)
    const own = this.#idleOf.get(state.owner) ?? new Set()
    this.#idleOf.set(state.owner, own.add(state))
    // Nobody pushes out what is remembered of others as long as there is something of its own.
    const [oldest] = own.size > MAX_IDLE_OF_ONE ? own : this.#idle.values()
    if (oldest !== undefined && (own.size > MAX_IDLE_OF_ONE || this.#idle.size > MAX_IDLE))
      this.#forget(oldest)
    return true
  }

  #forget(state: ProducerState): void {
    this.#idle.delete(state.key)
    const own = this.#idleOf.get(state.owner)
    own?.delete(state)
    if (own?.size === 0) this.#idleOf.delete(state.owner)
  }
}

/** How many more events are missing than were told so far; they count as told from now on. */
export function newlyMissing(state: ProducerState): number {
  const more = Math.max(0, state.sequence.missing - state.toldMissing)
  state.toldMissing += more
  return more
}

function newState(key: string, id: string, sequence: Sequence): ProducerState {
  return {
    key,
    owner: key.slice(0, key.lastIndexOf(' ')),
    id,
    sequence,
    dropped: 0,
    rejected: 0,
    written: sequence.highest,
    connections: 0,
    toldMissing: 0,
  }
}

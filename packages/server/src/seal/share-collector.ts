/**
 * Collects Shamir shares that come one at a time, from different people. Duplicates do not count, fifteen
 * quiet minutes forget everything, and a share that cannot belong here is refused as it is entered.
 * @see wire contract §16.2
 */
import { VestryError } from '@vestry/contract/errors'
import { Secret } from './secret.ts'
import { combineShares } from './shamir.ts'
import { decodeShare, shareX } from './share-text.ts'
import type { Slot, SlotKdf } from './slot.ts'

const QUIET_MS = 15 * 60_000

type ShamirSlot = Slot & { kdf: Extract<SlotKdf, { name: 'shamir' }> }

export interface ShareProgress {
  /** Slot the shares belong to. */
  slot: string
  have: number
  need: number
}

export type Offered =
  | { complete: false; progress: ShareProgress }
  /** The caller disposes `key` and tries it on `slot`. */
  | { complete: true; slot: Slot; key: Secret }

interface Heap {
  slot: ShamirSlot
  byX: Map<number, Secret>
}

export class ShareCollector {
  readonly #now: () => number
  readonly #heaps = new Map<string, Heap>()
  #lastAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(now: () => number) {
    this.#now = now
  }

  /**
   * @param text A share as typed. Borrowed.
   * @param slots Every slot of the vault.
   * @throws VestryError `UNSEAL_FAILED` for a mistyped share or one of another split; progress stays.
   */
  offer(text: Uint8Array, slots: readonly Slot[]): Offered {
    this.#forgetWhenQuiet()
    using share = decodeShare(text)
    const slot = slots.filter(isShamir).find(({ kdf }) => kdf.group === share.group)
    const x = shareX(share.share)
    if (slot === undefined || x > slot.kdf.shares) throw foreign()
    const heap = this.#heap(slot)
    const known = heap.byX.get(x)
    if (known === undefined) heap.byX.set(x, copyOf(share.share))
    else if (Buffer.compare(known.bytes, share.share.bytes) !== 0) throw foreign()
    this.#touch()
    if (heap.byX.size < slot.kdf.threshold) return { complete: false, progress: progressOf(heap) }
    const key = combineShares([...heap.byX.values()].map(({ bytes }) => bytes))
    // Right or wrong, these shares have had their say.
    this.#drop(share.group)
    return { complete: true, slot, key }
  }

  /** One entry per split of which at least one share is here. */
  progress(): ShareProgress[] {
    this.#forgetWhenQuiet()
    return [...this.#heaps.values()].map(progressOf)
  }

  /** Wipes and forgets every share. */
  reset(): void {
    for (const group of [...this.#heaps.keys()]) this.#drop(group)
    clearTimeout(this.#timer)
  }

  /** A slot that was replaced since the first share came starts again. */
  #heap(slot: ShamirSlot): Heap {
    const { group, threshold } = slot.kdf
    const heap = this.#heaps.get(group)
    if (heap?.slot.id === slot.id && heap.slot.kdf.threshold === threshold) return heap
    this.#drop(group)
    const fresh = { slot, byX: new Map<number, Secret>() }
    this.#heaps.set(group, fresh)
    return fresh
  }

  #drop(group: string): void {
    for (const share of this.#heaps.get(group)?.byX.values() ?? []) share[Symbol.dispose]()
    this.#heaps.delete(group)
  }

  #touch(): void {
    this.#lastAt = this.#now()
    clearTimeout(this.#timer)
    // The clock decides what is forgotten; the timer only wipes early when nobody asks any more.
    this.#timer = setTimeout(() => this.reset(), QUIET_MS).unref()
  }

  #forgetWhenQuiet(): void {
    if (this.#now() - this.#lastAt >= QUIET_MS) this.reset()
  }
}

function isShamir(slot: Slot): slot is ShamirSlot {
  return slot.kdf.name === 'shamir'
}

function copyOf(share: Secret): Secret {
  return Secret.copy(share.bytes)
}

function progressOf({ slot, byX }: Heap): ShareProgress {
  return { slot: slot.id, have: byX.size, need: slot.kdf.threshold }
}

function foreign(): VestryError {
  return new VestryError('UNSEAL_FAILED', 'This share does not belong to this vault', {
    hint: 'Shares of an earlier split do not work with those of a later one.',
  })
}

/** What every action on the seal shares: its store, its clock, and one count of attempts for all proofs. */
import { asVestryError, type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { Attempt, AttemptLimit } from './attempts.ts'
import type { KdfCost, Stretcher } from './kdf.ts'
import { type Opened, openWithProof, type Proof, unsealFailed } from './proof.ts'
import { loadSeal, readSlot, type SealStore, type StoredSeal } from './seal-store.ts'
import type { Random } from './secret.ts'
import type { Slot, SlotDeps } from './slot.ts'

export interface SealContext {
  store: SealStore
  /** Epoch milliseconds. */
  now: () => number
  random: Random
  stretcher: Stretcher
  /** Cost of new passphrase slots. */
  cost: KdfCost
  attempts: AttemptLimit
}

/** @throws VestryError `NOT_INITIALIZED` */
export async function requireStored({ store }: SealContext): Promise<StoredSeal> {
  const stored = await loadSeal(store.db)
  if (stored !== undefined) return stored
  throw new VestryError('NOT_INITIALIZED', undefined, { hint: 'Run: vestry init' })
}

export function slotDeps(context: SealContext, vaultId: string): SlotDeps {
  return { ...context, vaultId }
}

/** Slots whose parameters are acceptable, and why the first of the others is not. */
export function usableSlots(stored: StoredSeal): { slots: Slot[]; refused?: unknown } {
  const slots: Slot[] = []
  let refused: unknown
  for (const row of stored.slots) {
    try {
      slots.push(readSlot(row))
    } catch (error) {
      refused ??= error
    }
  }
  return { slots, refused }
}

/**
 * Opens one slot with `proof`. The caller disposes what it gets.
 *
 * @throws VestryError `UNSEAL_FAILED` for any wrong secret; `RATE_LIMITED`; `STORE_CORRUPT` when nothing
 *   opened and a slot was refused for its parameters.
 */
export async function prove(
  context: SealContext,
  stored: StoredSeal,
  proof: Proof,
  slots: readonly Slot[] = usableSlots(stored).slots,
): Promise<Opened> {
  return attempt(context.attempts, async () => {
    const { vaultId } = stored
    const opened = await openWithProof(slots, proof, { ...context, vaultId })
    if (opened === undefined) throw usableSlots(stored).refused ?? unsealFailed()
    return opened
  })
}

/**
 * A slot with refused parameters turns UNSEAL_FAILED into STORE_CORRUPT; were that not counted, planting one
 * would buy unlimited guesses at the other slots.
 */
const FAILURES: readonly ErrorCode[] = ['UNSEAL_FAILED', 'STORE_CORRUPT']

/** Runs `fn` as one attempt. It failed if a secret was wrong, and is withdrawn for any other error. */
export async function attempt<T>(
  attempts: AttemptLimit,
  fn: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const running = attempts.begin()
  try {
    const value = await fn(running)
    running.succeeded()
    return value
  } catch (error) {
    if (!FAILURES.includes(asVestryError(error).code)) running.withdraw()
    throw error
  }
}

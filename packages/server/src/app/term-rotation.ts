/**
 * Keeps the term key young: rotates it when it is due, and moves the data keys to the newest term in the
 * background. A run that was cut short goes on at the next start, because the store says how far it got.
 */
import type { AuditLog } from '../audit/log.ts'
import { rewrapAll } from '../seal/rewrap.ts'
import type { Seal } from '../seal/seal.ts'
import type { Store } from '../store/store.ts'
import type { CredentialStore } from '../vault/credential-store.ts'
import { note } from './note.ts'

/** The newest term that every data key is known to be under. Says when there is nothing to do, no more. */
const DONE_KEY = 'rewrapped_term'

export interface TermRotationDeps {
  readonly seal: Seal
  readonly credentials: CredentialStore
  readonly audit: AuditLog
  readonly store: Store
}

export class TermRotation {
  readonly #deps: TermRotationDeps
  #running: Promise<void> | undefined
  #abort = new AbortController()
  #again = false

  constructor(deps: TermRotationDeps) {
    this.#deps = deps
  }

  /** Rotates if the term is due, then moves what is not under the newest term. */
  async poll(): Promise<void> {
    const { seal, audit, store } = this.#deps
    if (seal.state !== 'unsealed') return
    await seal.refresh() // another node may have done it
    const { due, term } = await seal.termStatus()
    if (due && audit.available) {
      const rotated = await seal.rotateTerm()
      await audit.append(
        {
          ...note('vault.rotate_term', `term ${term} was due`),
          data: { term: rotated.term, generation: rotated.generation },
        },
        'synced',
      )
    }
    const done = await store.db
      .selectFrom('meta')
      .select('value')
      .where('key', '=', DONE_KEY)
      .executeTakeFirst()
    if (Number(done?.value ?? 1) < seal.keys.term) this.startRewrap()
  }

  /** In the background; a term that is added meanwhile makes it run once more. */
  startRewrap(): void {
    if (this.#running !== undefined) {
      this.#again = true
      return
    }
    this.#abort = new AbortController()
    this.#running = this.#rewrap(this.#abort.signal)
      .catch(() => undefined) // sealed, stopped or a store that is away: the next poll goes on
      .finally(() => {
        this.#running = undefined
        if (!this.#again) return
        this.#again = false
        this.startRewrap()
      })
  }

  async stop(): Promise<void> {
    this.#again = false
    this.#abort.abort()
    await this.#running
  }

  async #rewrap(signal: AbortSignal): Promise<void> {
    const { seal, credentials, audit, store } = this.#deps
    const { keys } = seal
    const { term } = keys
    const { rewrapped, broken } = await rewrapAll(keys, credentials.rewrapRows(), signal)
    if (broken.length === 0) {
      const value = String(term)
      await store.write((trx) =>
        trx
          .insertInto('meta')
          .values({ key: DONE_KEY, value })
          .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
          .execute(),
      )
    }
    await audit.append(
      {
        ...note('vault.rewrap', `${rewrapped} data keys moved to term ${term}`),
        success: broken.length === 0,
        data: {
          term,
          rewrapped,
          generation: await store.generation(),
          ...(broken.length > 0 && { broken: broken.slice(0, 100).map(({ path }) => path) }),
        },
      },
      'written',
    )
  }
}

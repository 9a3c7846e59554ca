/** Which deliveries were accepted, for a day: by keyed hashes, so that nobody learns from the store what was delivered. */

import type { KeyObject } from 'node:crypto'
import { keyedHash } from '../../seal/hash.ts'
import type { Store } from '../../store/store.ts'

export interface DeliveryStoreDeps {
  readonly store: Pick<Store, 'db' | 'write'>
  /** Asked for at each use, so that a sealed vault answers VAULT_LOCKED. */
  readonly hashKey: () => KeyObject
  /** Epoch ms. */
  readonly now: () => number
}

export interface Delivery {
  readonly path: string
  readonly provider: string
  readonly delivery: string
  readonly deploymentId: string
  readonly executionId: string
}

export interface Reserved {
  readonly executionId: string
  /** Somebody has reserved it before. */
  readonly known: boolean
}

const KEPT_MS = 86_400_000

export class DeliveryStore {
  readonly #deps: DeliveryStoreDeps

  constructor(deps: DeliveryStoreDeps) {
    this.#deps = deps
  }

  /**
   * Durable when it resolves. The first to come says which execution it is.
   *
   * @param lost The execution of before, if it was told as interrupted before anything of it began.
   */
  reserve(asked: Delivery, lost?: string): Promise<Reserved> {
    const { store, hashKey, now } = this.#deps
    const name = JSON.stringify([asked.path, asked.provider, asked.delivery])
    const id = Buffer.from(keyedHash(hashKey(), `webhook-delivery\0${name}`)).toString('base64url')
    const nowMs = now()
    const row = {
      id,
      deployment_id: asked.deploymentId,
      execution_id: asked.executionId,
      at: nowMs,
    }
    return store.write(async (trx) => {
      // One that is over would be forgotten soon.
      await trx
        .deleteFrom('webhook_delivery')
        .where('id', '=', id)
        .where('at', '<', nowMs - KEPT_MS)
        .execute()
      if (lost !== undefined)
        await trx
          .updateTable('webhook_delivery')
          .set(row)
          .where('id', '=', id)
          .where('execution_id', '=', lost)
          .execute()
      await trx
        .insertInto('webhook_delivery')
        .values(row)
        .onConflict((clash) => clash.column('id').doNothing())
        .execute()
      const { execution_id: executionId } = await trx
        .selectFrom('webhook_delivery')
        .select('execution_id')
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      const first = executionId ?? asked.executionId
      return { executionId: first, known: first !== asked.executionId }
    })
  }

  async prune(): Promise<void> {
    const before = this.#deps.now() - KEPT_MS
    await this.#deps.store.write((trx) =>
      trx.deleteFrom('webhook_delivery').where('at', '<', before).execute(),
    )
  }
}

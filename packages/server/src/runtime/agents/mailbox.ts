/** Messages to agents, kept sealed until they are fetched or too old. */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { openRecord, type RecordKeys, sealRecord } from '../../seal/record.ts'
import type { Store } from '../../store/store.ts'

export const MESSAGE_TYPES = [
  'direct',
  'broadcast',
  'publish',
  'subscribe',
  'request',
  'response',
] as const

export interface Message {
  readonly sender: string
  readonly recipient: string
  readonly topic: string | null
  readonly payload: string
  readonly messageType: (typeof MESSAGE_TYPES)[number]
  readonly ttlSeconds: number
  /** Of what its sender had read. Sealed with it; whoever is given it has read the same. */
  readonly labels?: readonly string[]
}

export interface KeptMessage extends Message {
  readonly id: string
  /** Epoch ms. */
  readonly createdAt: number
}

export type MessageStatus = 'pending' | 'delivered' | 'expired'

export interface MailboxDeps {
  readonly store: Pick<Store, 'db' | 'write' | 'engine'>
  /** Asked for at each use, so that a sealed vault answers VAULT_LOCKED. */
  readonly keys: () => RecordKeys
  /** Epoch ms. */
  readonly now: () => number
  /** Of all messages that wait in one box. */
  readonly maxWaitingBytes?: number
}

const KIND = 'agent-message'
const MAX_WAITING = 1_000
const MAX_WAITING_BYTES = 16 * 1_048_576
/** Messages of one answer. */
const MAX_DRAINED = 100
/** After its end, a message's status can be asked for this long. */
const KEPT_MS = 86_400_000
const BATCH = 500
const NOTHING = new Uint8Array()

export class Mailbox {
  readonly #deps: MailboxDeps

  constructor(deps: MailboxDeps) {
    this.#deps = deps
  }

  /** @param agentId Whose box. @returns its id. @throws VestryError QUEUE_FULL */
  async add(agentId: string, message: Message): Promise<string> {
    const { store, keys, now, maxWaitingBytes = MAX_WAITING_BYTES } = this.#deps
    const nowMs = now()
    const id = newTimeOrderedId('msg', nowMs)
    const content = Buffer.from(JSON.stringify(message))
    const record = sealRecord(keys(), place(id), content)
    await store.write(async (trx) => {
      const waiting = await trx
        .selectFrom('agent_message')
        .select((is) => [
          is.fn.countAll<number>().as('count'),
          is.fn.sum<number | null>('bytes').as('bytes'),
        ])
        .where('agent_id', '=', agentId)
        .where('status', '=', 'pending')
        .where('expires_at', '>', nowMs)
        .executeTakeFirstOrThrow()
      const bytes = Number(waiting.bytes ?? 0) + content.length
      if (Number(waiting.count) >= MAX_WAITING || bytes > maxWaitingBytes)
        throw new VestryError('QUEUE_FULL', 'The agent has too many messages waiting', {
          hint: 'Wait until it has fetched some',
        })
      await trx
        .insertInto('agent_message')
        .values({
          id,
          agent_id: agentId,
          status: 'pending',
          record,
          bytes: content.length,
          created_at: nowMs,
          expires_at: nowMs + message.ttlSeconds * 1_000,
        })
        .execute()
    })
    return id
  }

  /** What waits, the oldest first, each of them once. More than fit into one answer wait for the next. */
  async drain(agentId: string): Promise<readonly KeptMessage[]> {
    const { store, keys, now } = this.#deps
    const opened = keys() // before any of them counts as delivered
    const rows = await store.write(async (trx) => {
      let query = trx
        .selectFrom('agent_message')
        .select(['id', 'record', 'created_at'])
        .where('agent_id', '=', agentId)
        .where('status', '=', 'pending')
        .where('expires_at', '>', now())
        .orderBy('created_at')
        .orderBy('id')
        .limit(MAX_DRAINED)
      if (store.engine === 'postgres') query = query.forUpdate().skipLocked()
      const found = await query.execute()
      if (found.length > 0) {
        await trx
          .updateTable('agent_message')
          // Whoever sends and fetches without end must not fill the disk.
          .set({ status: 'delivered', record: NOTHING, bytes: 0, expires_at: now() })
          .where(
            'id',
            'in',
            found.map(({ id }) => id),
          )
          .execute()
      }
      return found
    })
    return rows.map((row) => {
      using content = openRecord(opened, place(row.id), row.record)
      const message = JSON.parse(Buffer.from(content.bytes).toString('utf8')) as Message // ours
      return { ...message, id: row.id, createdAt: row.created_at }
    })
  }

  /** @returns undefined for one that nobody sent, or that is forgotten. */
  async status(id: string): Promise<{ agentId: string; status: MessageStatus } | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('agent_message')
      .select(['agent_id', 'status', 'expires_at'])
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined) return undefined
    if (row.status === 'delivered') return { agentId: row.agent_id, status: 'delivered' }
    const isOver = row.expires_at <= this.#deps.now()
    return { agentId: row.agent_id, status: isOver ? 'expired' : 'pending' }
  }

  async forget(agentId: string): Promise<void> {
    await this.#deps.store.write((trx) =>
      trx.deleteFrom('agent_message').where('agent_id', '=', agentId).execute(),
    )
  }

  /** @returns how many were forgotten. */
  async prune(): Promise<number> {
    const { store, now } = this.#deps
    for (let done = 0; ; ) {
      const old = await store.db
        .selectFrom('agent_message')
        .select('id')
        .where('expires_at', '<', now() - KEPT_MS)
        .limit(BATCH)
        .execute()
      const ids = old.map(({ id }) => id)
      if (ids.length > 0)
        await store.write((trx) => trx.deleteFrom('agent_message').where('id', 'in', ids).execute())
      done += ids.length
      if (ids.length < BATCH) return done
    }
  }
}

function place(id: string): { path: string; version: number; kind: string } {
  return { path: id, version: 1, kind: KIND }
}

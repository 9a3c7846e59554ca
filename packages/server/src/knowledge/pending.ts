/**
 * Embeds what is stored and not embedded yet, and embeds again what another embedder did: through the journal, so
 * that it goes on after a crash and on one node only. What is left to do is read from the store each time, so nothing
 * is lost with an execution that failed.
 */
import { hash, randomUUID } from 'node:crypto'
import { asVestryError } from '@vestry/contract/errors'
import type { Held } from '../journal/held.ts'
import type { Journal } from '../journal/journal.ts'
import type { Embedder } from './embedder.ts'
import { BATCH, embeddedText, embedTexts } from './ingest.ts'
import type { KnowledgeItem, StoredChunk } from './item.ts'
import { type ItemStore, WAITING } from './store/item-store.ts'

export const JOURNAL_KIND = 'knowledge'
/** Items that are looked for at once. */
const ROUND = 500
const RETAIN_MS = 60_000
const CONCURRENCY = 1
const QUEUE_MAX = 10_000

export interface PendingDeps {
  readonly journal: Pick<Journal, 'register' | 'reserve'>
  readonly items: ItemStore
  readonly embedder: () => Embedder
  /** The index has something to take over. */
  readonly changed: () => void
  readonly warn: (line: string) => void
}

export class Pending {
  readonly #deps: PendingDeps

  constructor(deps: PendingDeps) {
    this.#deps = deps
    deps.journal.register(JOURNAL_KIND, {
      concurrency: CONCURRENCY,
      queueMax: QUEUE_MAX,
      run: (held, signal) => this.#run(held, signal),
    })
  }

  /** Looks for what is left to do. Asked now and then, and at the start. */
  async look(): Promise<void> {
    const ids = await this.#deps.items.notEmbeddedBy(this.#deps.embedder().id, ROUND)
    for (const id of ids) await this.queue(id)
  }

  /** Once for each item and embedder, however often it is asked. */
  async queue(id: string): Promise<void> {
    const { journal, embedder } = this.#deps
    const asked = hash('sha256', JSON.stringify([id, embedder().id]))
    try {
      await journal.reserve({
        id: randomUUID(),
        kind: JOURNAL_KIND,
        key: asked,
        fingerprint: asked,
        agentId: '',
        subject: 'knowledge:embed',
        mode: 'queued',
        repeatable: true,
        input: Buffer.from(id, 'utf8'),
        retainMs: RETAIN_MS,
      })
    } catch (error) {
      // The next look finds it again.
      if (asVestryError(error).code !== 'QUEUE_FULL') throw error
    }
  }

  async #run(held: Held, signal: AbortSignal): Promise<void> {
    const id = Buffer.from((await held.input()) ?? []).toString('utf8')
    await held.sent()
    try {
      await this.#embed(id, signal)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      const { code, message } = asVestryError(error)
      this.#deps.warn(`knowledge: an item waits for its vectors: ${message}`)
      await held.fail({ code, reached: true })
      return
    }
    await held.finish(new Uint8Array())
  }

  async #embed(id: string, signal: AbortSignal): Promise<void> {
    const { items, embedder, changed } = this.#deps
    const by = embedder()
    const item = await items.get(id)
    if (item === undefined || item.embedder === by.id) return
    const chunks = await items.chunks(id)
    const vectors: Float32Array[] = []
    for (let from = 0; from < chunks.length; from += BATCH) {
      signal.throwIfAborted()
      const batch = chunks.slice(from, from + BATCH)
      vectors.push(...(await this.#batch(item, batch, from, by, signal)))
    }
    if (await items.setVectors(item, by.id, vectors)) changed()
  }

  /** Of an item that was never embedded, batches that are done are kept. */
  async #batch(
    item: KnowledgeItem,
    batch: readonly StoredChunk[],
    from: number,
    by: Embedder,
    signal: AbortSignal,
  ): Promise<readonly Float32Array[]> {
    const kept = batch.flatMap(({ vector }) => (vector?.length === by.dimension ? [vector] : []))
    if (item.embedder === `${WAITING}${by.id}` && kept.length === batch.length) return kept
    const vectors = await embedTexts(by, batch.map(embeddedText), signal)
    if (item.embedder === `${WAITING}${by.id}`)
      await this.#deps.items.keepVectors(item, from, vectors)
    return vectors
  }
}

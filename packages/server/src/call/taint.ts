/**
 * Labels of what each transaction has read. They are on disk before what was read is handed out, and every later
 * decision about the transaction sees them as `context.taint`.
 */
import type { Store } from '../store/store.ts'

export interface TaintDeps {
  readonly store: Pick<Store, 'db' | 'write' | 'onChange'>
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
}

/** No transaction lives longer than this. */
const KEPT_MS = 8 * 24 * 3_600_000
const NONE: readonly string[] = []

export class Taint {
  readonly #deps: TaintDeps
  /** Of transactions that have any. Complete: what is not here has read nothing that has a label. */
  #labels = new Map<string, readonly string[]>()
  /** Of them, what is not on disk yet. */
  readonly #unsaved = new Map<string, Set<string>>()
  /** What was added while the table is read, which may miss it. */
  #meanwhile: [txn: string, labels: readonly string[]][] | undefined
  #loading: Promise<void> = Promise.resolve()
  readonly #unsubscribe: () => void

  constructor(deps: TaintDeps) {
    this.#deps = deps
    this.#unsubscribe = deps.store.onChange((tables) => {
      if (tables.includes('txn_label'))
        this.load().catch((error: unknown) => deps.warn(`taint: ${String(error)}`))
    })
  }

  /** Before the first decision. @throws VestryError STORE_UNAVAILABLE */
  load(): Promise<void> {
    this.#loading = this.#loading.catch(() => undefined).then(() => this.#read())
    return this.#loading
  }

  /** Sorted. At once, because decisions are made at once. */
  of(txn: string): readonly string[] {
    return this.#labels.get(txn) ?? NONE
  }

  /**
   * `txn` has read what carries `labels`. Await it before handing that out.
   * @throws VestryError STORE_UNAVAILABLE: then it must not be handed out.
   */
  async add(txn: string, labels: readonly string[]): Promise<void> {
    const known = new Set(this.of(txn))
    const added = labels.filter((label) => !known.has(label))
    if (added.length > 0) {
      // Seen by decisions from now on, and on disk when this resolves.
      this.#labels.set(txn, [...new Set([...known, ...added])].sort())
      this.#meanwhile?.push([txn, added])
    }
    const unsaved = this.#unsavedOf(txn)
    for (const label of added) unsaved.add(label)
    // Also what another call is writing, or could not write: it may not be handed out before.
    const wanted = labels.filter((label) => unsaved.has(label))
    if (wanted.length > 0) await this.#save(txn, wanted)
    if (unsaved.size === 0 && this.#unsaved.get(txn) === unsaved) this.#unsaved.delete(txn)
  }

  /** What `from` has read, `to` has read too: it was asked with it, or is told its result. */
  inherit(from: string, to: string): Promise<void> {
    return this.add(to, this.of(from))
  }

  /** Of transactions that are long over. */
  async prune(): Promise<void> {
    const { store, now } = this.#deps
    const before = now() - KEPT_MS
    await store.write((trx) => trx.deleteFrom('txn_label').where('at', '<', before).execute(), {
      tell: ['txn_label'],
    })
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
  }

  #unsavedOf(txn: string): Set<string> {
    const found = this.#unsaved.get(txn)
    if (found !== undefined) return found
    const none = new Set<string>()
    this.#unsaved.set(txn, none)
    return none
  }

  async #save(txn: string, labels: readonly string[]): Promise<void> {
    const { store, now } = this.#deps
    const rows = labels.map((label) => ({ txn, label, at: now() }))
    await store.write(
      (trx) =>
        trx
          .insertInto('txn_label')
          .values(rows)
          .onConflict((clash) => clash.doNothing())
          .execute(),
      { tell: ['txn_label'] },
    )
    for (const label of labels) this.#unsaved.get(txn)?.delete(label)
  }

  async #read(): Promise<void> {
    this.#meanwhile = [...this.#unsaved].map(([txn, labels]) => [txn, [...labels]])
    const rows = await this.#deps.store.db
      .selectFrom('txn_label')
      .select(['txn', 'label'])
      .orderBy('label')
      .execute()
    const read = new Map<string, string[]>()
    for (const { txn, label } of rows) {
      const labels = read.get(txn)
      if (labels === undefined) read.set(txn, [label])
      else labels.push(label)
    }
    for (const [txn, labels] of this.#meanwhile)
      read.set(txn, [...new Set([...(read.get(txn) ?? []), ...labels])].sort())
    this.#meanwhile = undefined
    this.#labels = read
  }
}

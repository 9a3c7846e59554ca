/** What runs by itself while the vault is open: expiry, sweeping, pruning, the query index, the term key. */
import type { Head } from '../audit/chain.ts'
import { hmacTag } from '../seal/hash.ts'
import type { Parts } from './assemble.ts'
import { note } from './note.ts'
import type { StoreHeads } from './store-heads.ts'
import type { TermRotation } from './term-rotation.ts'

const EXPIRE_EVERY_MS = 250
const SWEEP_EVERY_MS = 1_000
const KEEP_HEAD_EVERY_MS = 1_000
const PRUNE_EVERY_MS = 60_000
const TERM_EVERY_MS = 3_600_000
/** Lease ids named in one record of expiry. */
const NAMED_LEASES = 100

export class Workers {
  readonly #parts: Parts
  readonly #heads: StoreHeads
  readonly #terms: TermRotation
  /** Of parts above the vault. */
  readonly #prune: () => Promise<void>
  #timers: NodeJS.Timeout[] = []
  #stops: (() => unknown)[] = []

  constructor(parts: Parts, heads: StoreHeads, terms: TermRotation, prune: () => Promise<void>) {
    this.#parts = parts
    this.#prune = prune
    this.#heads = heads
    this.#terms = terms
  }

  start(): void {
    const { audit, leases, sessions, vault, limits, auditIndex } = this.#parts
    this.#every(EXPIRE_EVERY_MS, () => recordExpiry(this.#parts, leases.expire(vault.now())))
    this.#every(SWEEP_EVERY_MS, async () => {
      sessions.sweep()
      vault.wraps.expire(vault.now())
    })
    this.#every(PRUNE_EVERY_MS, async () => {
      await limits.prune()
      await vault.stations.approvals.prune()
      await this.#prune()
    })
    this.#every(TERM_EVERY_MS, () => this.#terms.poll())
    // The first look is not waited for, and a failed one is repeated.
    this.#terms.poll().catch(() => undefined)
    const index = auditIndex.start()
    this.#stops.push(() => index[Symbol.asyncDispose]())
    this.#stops.push(() => this.#terms.stop())
    // A busy log signs many heads a second; the store needs the latest, and each costs it a commit.
    let latest: Head | undefined
    this.#stops.push(
      audit.onCheckpoint((head) => {
        latest = head
      }),
    )
    this.#every(KEEP_HEAD_EVERY_MS, async () => {
      if (latest === undefined) return
      const head = latest
      latest = undefined
      await this.#heads.onCheckpoint(head) // a failure is mended by the next one
    })
  }

  /** The timers end at once; resolves when what they had begun has ended. */
  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    await Promise.allSettled(this.#stops.splice(0).map(async (stop) => stop()))
  }

  /** One at a time, and a failure is for the next turn to mend. */
  #every(ms: number, run: () => Promise<void>): void {
    let running = false
    const timer = setInterval(() => {
      if (running) return
      running = true
      run()
        .catch(() => undefined)
        .finally(() => {
          running = false
        })
    }, ms)
    this.#timers.push(timer.unref())
  }
}

async function recordExpiry(
  { audit, seal }: Parts,
  expired: readonly { id: string; path: string; agentId: string }[],
): Promise<void> {
  if (expired.length === 0 || seal.state !== 'unsealed') return
  const { hashKey } = seal.keys
  const named = expired.slice(0, NAMED_LEASES).map(({ id }) => hmacTag(hashKey, id))
  await audit.append(
    {
      ...note('lease.expire', `${expired.length} leases expired`),
      data: { count: expired.length, leases: named },
    },
    'written',
  )
}

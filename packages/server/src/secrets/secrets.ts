/**
 * Secrets of agents, wherever they are kept: the one function per operation that routes, commands and resolver share.
 * Which back end counts is looked up in the store before each request, so a switch holds on all nodes at once. Who may
 * ask and what is recorded is settled in access.ts.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Secret } from '../seal/secret.ts'
import { type Active, ActiveBackend, type ActiveBackendDeps } from './active-backend.ts'
import type { BackendType, SecretBackend, StoredSecret, Written } from './backend.ts'
import { type BackendConfig, describeConfig } from './backend-config.ts'
import type { MigrationMark } from './backend-setting.ts'
import { CachedCount } from './cached-count.ts'
import { untilAborted } from './deadline.ts'
import { HeldBackend } from './held-backend.ts'
import { allPlaces, type Extras, Migration, type Progress } from './migration.ts'
import { placeKey, type SecretPlace, secretNotFound } from './place.ts'
import { WriteOrder } from './write-order.ts'

export interface SecretsDeps extends ActiveBackendDeps {
  /** How long a write may go on that another node began; 0 where there is none. */
  readonly settleMs: number
  readonly warn: (line: string) => void
}

export interface Configured {
  readonly type: BackendType
  /** 0: the default, which nobody configured. */
  readonly configuredAtMs: number
  readonly details: Record<string, unknown>
}

/** Of a migration's mark; renewed at a third of it. */
const MARK_MS = 120_000
const PROBE_MS = 20_000
const SHUT_MS = 20_000

export class Secrets {
  readonly #deps: SecretsDeps
  readonly #order = new WriteOrder()
  readonly #count: CachedCount
  readonly #active: ActiveBackend
  #migration: { readonly work: Migration; readonly ended: Promise<void> } | undefined
  #configuring = false
  #ending = new AbortController()

  constructor(deps: SecretsDeps) {
    this.#deps = deps
    this.#active = new ActiveBackend(deps, () => this.#count.drop())
    this.#count = new CachedCount(
      (signal) =>
        this.#read(
          async (backend) => backend.count?.(signal) ?? (await allPlaces(backend, signal)).length,
        ),
      deps.now,
    )
  }

  /** @throws VestryError CONFLICT for another version than the expected one, and what the back end throws. */
  put(
    place: SecretPlace,
    value: Secret,
    options: Omit<Parameters<SecretBackend['put']>[2], 'origin'>,
  ): Promise<Written> {
    return this.#write(place, options.signal, async (backend) => {
      const written = await backend.put(place, value, options)
      if (written.created) this.#count.changed(1)
      return written
    })
  }

  /** @throws VestryError SECRET_NOT_FOUND, and what the back end throws. */
  async get(place: SecretPlace, signal: AbortSignal, version?: number): Promise<StoredSecret> {
    const found = await this.#read((backend) => backend.get(place, signal, version))
    if (found === undefined) throw secretNotFound(place)
    return found
  }

  list(agent: string, signal: AbortSignal): Promise<string[]> {
    return this.#read((backend) => backend.list(agent, signal))
  }

  owners(signal: AbortSignal): Promise<string[]> {
    return this.#read((backend) => backend.owners(signal))
  }

  /** @throws VestryError SECRET_NOT_FOUND */
  delete(place: SecretPlace, signal: AbortSignal): Promise<void> {
    return this.#write(place, signal, async (backend) => {
      if (!(await backend.delete(place, signal))) throw secretNotFound(place)
      this.#count.changed(-1)
    })
  }

  /** Over all agents; counted again now and then, and not waited for longer than `signal` says. */
  count(signal: AbortSignal): Promise<number> {
    return this.#count.read(signal)
  }

  async configured(): Promise<Configured> {
    const { loaded } = await this.#active.current()
    const { active, configuredAtMs } = loaded.state
    return { type: active.type, configuredAtMs, details: describeConfig(active) }
  }

  /** Asks the back end that counts whether it is there. */
  check(signal: AbortSignal): Promise<Record<string, unknown>> {
    return this.#read((backend) => backend.probe(signal, { create: false }))
  }

  /** Of the last migration here; of one that a crash or another node has, only that. */
  async progress(): Promise<Progress | { status: 'idle' | 'interrupted' | 'elsewhere' }> {
    if (this.#migrating && this.#migration !== undefined) return this.#migration.work.progress
    const active = await this.#active.current()
    const { migration } = active.loaded.state
    if (migration === undefined) return this.#migration?.work.progress ?? { status: 'idle' }
    return { status: this.#active.isMovedElsewhere(active) ? 'elsewhere' : 'interrupted' }
  }

  /** Resolves when the migration that runs here, if one does, has ended; its result is in {@link progress}. */
  async migrated(): Promise<void> {
    await this.#migration?.ended
  }

  /**
   * Tries the back end, then makes it count. With `migrate` all secrets are copied first, in the background: resolves
   * when that has begun, see {@link migrated}. Where both keep the same secrets there is nothing to move.
   *
   * @throws VestryError CONFLICT while another configuration is under way, and why the back end cannot be used; the
   *   one before then still counts.
   */
  async configure(
    config: BackendConfig,
    options: { migrate: boolean; extras: Extras; signal: AbortSignal },
  ): Promise<Configured & { moving: boolean }> {
    if (this.#configuring) throw busy()
    const target = new HeldBackend(this.#deps.open(config))
    this.#configuring = true
    let handedOn = false
    try {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(PROBE_MS)])
      const details = await target.backend.probe(signal, { create: true })
      const active = await this.#active.current()
      this.#active.assertNotMoving(active)
      const isSame = target.backend.identity === active.held.backend.identity
      const configuredAtMs = this.#deps.now()
      const moving = options.migrate && !isSame
      if (moving) {
        await this.#begin(active, target, config, options.extras)
        handedOn = true
      } else {
        using _shut = await this.#order.shut(AbortSignal.timeout(SHUT_MS))
        const state = { active: config, configuredAtMs, migration: undefined }
        await this.#active.commit(state, target, active)
        handedOn = true
      }
      return { type: config.type, configuredAtMs, details, moving }
    } finally {
      if (!handedOn) target.retire()
      if (!this.#migrating) this.#configuring = false
    }
  }

  /** Sealed, or stopping: nothing stays open, and nothing of the configuration in memory. */
  async close(): Promise<void> {
    this.#ending.abort(new VestryError('SHUTTING_DOWN'))
    await this.#migration?.ended
    await this.#active.end()
    this.#count.drop()
    this.#ending = new AbortController()
  }

  get #migrating(): boolean {
    return this.#migration?.work.progress.status === 'copying'
  }

  async #read<T>(ask: (backend: SecretBackend) => Promise<T>): Promise<T> {
    const { held } = await this.#active.inUse()
    using _held = held.hold()
    return await ask(held.backend)
  }

  #write<T>(
    place: SecretPlace,
    signal: AbortSignal,
    change: (backend: SecretBackend) => Promise<T>,
  ): Promise<T> {
    return this.#order.run(placeKey(place), signal, async () => {
      const active = await this.#active.inUse()
      this.#active.assertNotMoving(active)
      using _held = active.held.hold()
      try {
        return await change(active.held.backend)
      } finally {
        // One that failed may have been done all the same.
        if (this.#migrating) this.#migration?.work.touched(place)
      }
    })
  }

  async #begin(
    active: Active,
    target: HeldBackend,
    config: BackendConfig,
    extras: Extras,
  ): Promise<void> {
    const { node, now, settleMs } = this.#deps
    const { held } = active
    await this.#active.mark(active, { node, startedAtMs: now(), untilMs: now() + MARK_MS })
    const work = new Migration({
      source: held.backend,
      target: target.backend,
      extras,
      shutWrites: (signal) =>
        this.#order.shut(AbortSignal.any([signal, AbortSignal.timeout(SHUT_MS)])),
      settle: (signal) => untilAborted(pause(settleMs), signal),
      now,
    })
    const holding = held.hold()
    const ended = this.#migrate(work, target, config).finally(() => {
      holding[Symbol.dispose]()
      this.#configuring = false
    })
    this.#migration = { work, ended }
  }

  async #migrate(work: Migration, target: HeldBackend, config: BackendConfig): Promise<void> {
    const lost = new AbortController()
    const signal = AbortSignal.any([this.#ending.signal, lost.signal])
    let renewed: Promise<void> = Promise.resolve()
    const renewing = setInterval(() => {
      renewed = this.#renewMark().catch((error: unknown) => lost.abort(error))
    }, MARK_MS / 3).unref()
    try {
      await work.run(signal, async () => {
        // Both write the same row.
        clearInterval(renewing)
        await renewed
        const { active } = await this.#marked()
        const state = { active: config, configuredAtMs: this.#deps.now(), migration: undefined }
        await this.#active.commit(state, target, active)
      })
    } catch (error) {
      target.retire()
      this.#deps.warn(`secrets: the migration ended, nothing was switched: ${messageOf(error)}`)
      await this.#unmark().catch(() => undefined) // it ends by its time
    } finally {
      clearInterval(renewing)
    }
  }

  async #renewMark(): Promise<void> {
    const { active, mark } = await this.#marked()
    await this.#active.mark(active, { ...mark, untilMs: this.#deps.now() + MARK_MS })
  }

  /** @throws VestryError CONFLICT when our mark is not there, or so old that others may have written since. */
  async #marked(): Promise<{ active: Active; mark: MigrationMark }> {
    const { node, now } = this.#deps
    const active = await this.#active.current()
    const { migration: mark } = active.loaded.state
    // Clocks of other nodes may be ahead.
    if (mark?.node === node && mark.untilMs - now() > MARK_MS / 3) return { active, mark }
    throw new VestryError('CONFLICT', 'The secrets were not this node’s to move for a while', {
      hint: 'Nothing was switched; try again.',
    })
  }

  async #unmark(): Promise<void> {
    const active = await this.#active.current()
    if (active.loaded.state.migration?.node === this.#deps.node)
      await this.#active.mark(active, undefined)
  }
}

function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (ms === 0) resolve()
  else setTimeout(resolve, ms).unref()
  return promise
}

function busy(): VestryError {
  return new VestryError('CONFLICT', 'The secret back end is being configured already', {
    hint: 'Wait until it is done: GET secrets/config/migration tells.',
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * Copies all secrets from one back end to another, and reads each back before it counts. Writes go on meanwhile, into
 * the old one, which stays the only truth: what they touch is copied again, the last of it while they are held back.
 */
import { timingSafeEqual } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { SecretBackend } from './backend.ts'
import { assertLive } from './deadline.ts'
import { placeKey, type SecretPlace } from './place.ts'

/** What becomes of secrets that only the target has. `refuse` ends the migration before anything is copied. */
export const EXTRAS = ['refuse', 'keep', 'delete'] as const
export type Extras = (typeof EXTRAS)[number]

export interface Progress {
  readonly status: 'copying' | 'done' | 'failed'
  readonly from: string
  readonly to: string
  readonly copied: number
  /** Of those known so far. */
  readonly total: number
  readonly startedAtMs: number
  readonly finishedAtMs: number | undefined
  readonly error: { readonly code: string; readonly message: string } | undefined
}

/** Rounds without holding writes back; each is as long as what was touched in the one before. */
const MAX_ROUNDS = 5
const CREATED_BY = 'system:migration'
const SHOWN = 5

export interface MigrationDeps {
  readonly source: SecretBackend
  readonly target: SecretBackend
  readonly extras: Extras
  /** Holds writes back and waits for those under way. */
  readonly shutWrites: (signal: AbortSignal) => Promise<Disposable>
  /** Awaited before the first look: writes of other nodes that began before they heard of this have ended. */
  readonly settle: (signal: AbortSignal) => Promise<void>
  readonly now: () => number
}

export class Migration {
  readonly #deps: MigrationDeps
  readonly #touched = new Map<string, SecretPlace>()
  readonly #done = new Set<string>()
  #known = 0
  #progress: Pick<Progress, 'status' | 'startedAtMs' | 'finishedAtMs' | 'error'>

  constructor(deps: MigrationDeps) {
    this.#deps = deps
    this.#progress = {
      status: 'copying',
      startedAtMs: deps.now(),
      finishedAtMs: undefined,
      error: undefined,
    }
  }

  get progress(): Progress {
    const { source, target } = this.#deps
    const copied = this.#done.size
    const total = Math.max(this.#known, copied)
    return { ...this.#progress, from: source.type, to: target.type, copied, total }
  }

  /** A write of this secret has ended, however it did. */
  touched(place: SecretPlace): void {
    this.#touched.set(placeKey(place), place)
  }

  /** @param commit Makes the target count; called while no write is under way. */
  async run(signal: AbortSignal, commit: () => Promise<void>): Promise<void> {
    try {
      await this.#deps.settle(signal)
      const places = await allPlaces(this.#deps.source, signal)
      this.#known = places.length
      await this.#settleExtras(new Set(places.map(placeKey)), signal)
      for (const place of places) await this.#copy(place, signal)
      for (let round = 0; round < MAX_ROUNDS && this.#touched.size > 0; round += 1)
        await this.#copyTouched(signal)
      using _shut = await this.#deps.shutWrites(signal)
      await this.#copyTouched(signal)
      await this.#compare(signal)
      assertLive(signal)
      await commit()
      this.#end('done')
    } catch (thrown) {
      const error = asVestryError(thrown)
      this.#end('failed', { code: error.code, message: error.message })
      throw thrown
    }
  }

  async #copyTouched(signal: AbortSignal): Promise<void> {
    const places = [...this.#touched.values()]
    this.#touched.clear()
    for (const place of places) await this.#copy(place, signal)
  }

  /** What the source has now, or has no longer. */
  async #copy(place: SecretPlace, signal: AbortSignal): Promise<void> {
    assertLive(signal)
    const { source, target } = this.#deps
    const found = await source.get(place, signal)
    if (found === undefined) {
      await target.delete(place, signal)
      this.#done.delete(placeKey(place))
      return
    }
    using value = found.value
    const { value: _, ...origin } = found
    const there = await target.get(place, signal)
    const isThere = there !== undefined && sameBytes(there.value.bytes, value.bytes)
    there?.value[Symbol.dispose]()
    if (!isThere) {
      await target.put(place, value, {
        description: found.description,
        origin,
        createdBy: CREATED_BY,
        signal,
      })
      await this.#verify(place, value.bytes, signal)
    }
    this.#done.add(placeKey(place))
  }

  async #verify(place: SecretPlace, wanted: Uint8Array, signal: AbortSignal): Promise<void> {
    const found = await this.#deps.target.get(place, signal)
    using value = found?.value
    if (value === undefined || !sameBytes(value.bytes, wanted)) {
      throw new VestryError('BACKEND_ERROR', 'A secret did not come back as it was written', {
        hint: 'Nothing was switched; the old back end still counts.',
        context: { agent_id: place.agent, secret_name: place.name },
      })
    }
  }

  /** Both have the same names: also what others wrote without our hearing of it is noticed here. */
  async #compare(signal: AbortSignal): Promise<void> {
    const { source, target, extras } = this.#deps
    const wanted = new Map(
      (await allPlaces(source, signal)).map((place) => [placeKey(place), place]),
    )
    const there = new Set((await allPlaces(target, signal)).map(placeKey))
    for (const [key, place] of wanted) if (!there.has(key)) await this.#copy(place, signal)
    if (extras !== 'keep') await this.#settleExtras(new Set(wanted.keys()), signal)
  }

  async #settleExtras(wanted: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { target, extras } = this.#deps
    if (extras === 'keep') return
    const others = (await allPlaces(target, signal)).filter((place) => !wanted.has(placeKey(place)))
    if (others.length === 0) return
    if (extras === 'refuse') {
      const names = others.slice(0, SHOWN).map(({ agent, name }) => `${agent}/${name}`)
      throw new VestryError(
        'CONFLICT',
        `The target holds ${others.length} secrets that the present back end does not have`,
        {
          hint: 'Say what becomes of them: extras=keep or extras=delete.',
          context: { extras: names, count: others.length },
        },
      )
    }
    for (const place of others) await target.delete(place, signal)
  }

  #end(status: 'done' | 'failed', error?: Progress['error']): void {
    this.#progress = { ...this.#progress, status, finishedAtMs: this.#deps.now(), error }
  }
}

export async function allPlaces(
  backend: SecretBackend,
  signal: AbortSignal,
): Promise<SecretPlace[]> {
  const places: SecretPlace[] = []
  for (const agent of await backend.owners(signal))
    for (const name of await backend.list(agent, signal)) places.push({ agent, name })
  return places
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}

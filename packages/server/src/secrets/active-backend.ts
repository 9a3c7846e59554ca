/**
 * The back end that counts, as the store says it: looked up before each request, opened once, and closed when it was
 * replaced and the last user has finished. Changes go to the store first.
 */
import { VestryError } from '@vestry/contract/errors'
import type { SecretBackend } from './backend.ts'
import type { BackendConfig } from './backend-config.ts'
import type { BackendSetting, BackendState, LoadedState, MigrationMark } from './backend-setting.ts'
import { HeldBackend } from './held-backend.ts'

export interface ActiveBackendDeps {
  readonly setting: BackendSetting
  readonly open: (config: BackendConfig) => SecretBackend
  /** Name of this process among those on the store. */
  readonly node: string
  readonly now: () => number
}

export interface Active {
  readonly loaded: LoadedState
  readonly held: HeldBackend
}

export class ActiveBackend {
  readonly #deps: ActiveBackendDeps
  readonly #replaced: () => void
  #active: Active | undefined
  #loading: Promise<Active> | undefined

  /** @param replaced Called when another back end counts. */
  constructor(deps: ActiveBackendDeps, replaced: () => void) {
    this.#deps = deps
    this.#replaced = replaced
  }

  /** One load for all who ask at once. */
  async current(): Promise<Active> {
    const version = await this.#deps.setting.version()
    let active = this.#active
    // A load that others began may have looked before that version was there.
    while (active === undefined || active.loaded.version < version) {
      this.#loading ??= this.#load().finally(() => {
        this.#loading = undefined
      })
      active = await this.#loading
    }
    return active
  }

  /** To be held in the same tick. */
  async inUse(): Promise<Active> {
    for (;;) {
      const active = await this.current()
      // Replaced while this was being said: then the next one is there already.
      if (!active.held.isRetired) return active
    }
  }

  /**
   * The row first: from then on the new one counts, here and everywhere.
   * @param seen What it follows on. @throws VestryError CONFLICT when that no longer counts.
   */
  async commit(state: BackendState, target: HeldBackend, seen: Active): Promise<void> {
    const saved = await this.#deps.setting.save(state, seen.loaded.version)
    this.#adopt({ loaded: saved.value, held: target })
  }

  /** What stands in the row beside the back end that counts. */
  async mark({ loaded, held }: Active, migration: MigrationMark | undefined): Promise<void> {
    const saved = await this.#deps.setting.save({ ...loaded.state, migration }, loaded.version)
    this.#adopt({ loaded: saved.value, held })
  }

  /** @throws VestryError BACKEND_UNAVAILABLE: writes of another node and ours would make two truths. */
  assertNotMoving(active: Active): void {
    if (!this.isMovedElsewhere(active)) return
    throw new VestryError('BACKEND_UNAVAILABLE', 'Another node is moving the secrets', {
      hint: 'Try again when it has finished; reading goes on.',
      context: { retry_after_ms: 5_000 },
    })
  }

  /** A mark of our own that nobody works on was left by a crash. */
  isMovedElsewhere({ loaded }: Active): boolean {
    const { migration } = loaded.state
    if (migration === undefined || migration.node === this.#deps.node) return false
    return migration.untilMs > this.#deps.now()
  }

  /** Nothing of it stays in memory; the next request loads it again. */
  async end(): Promise<void> {
    await this.#loading?.catch(() => undefined)
    const active = this.#active
    this.#active = undefined
    await active?.held.end()
  }

  async #load(): Promise<Active> {
    const loaded = await this.#deps.setting.load()
    const before = this.#active
    if (before !== undefined && before.loaded.version >= loaded.version) return before
    // A mark of a migration changes the row and not the back end.
    const isSame =
      before !== undefined &&
      JSON.stringify(before.loaded.state.active) === JSON.stringify(loaded.state.active)
    const held = isSame ? before.held : new HeldBackend(this.#deps.open(loaded.state.active))
    return this.#adopt({ loaded, held })
  }

  #adopt(next: Active): Active {
    const before = this.#active
    this.#active = next
    if (before !== undefined && before.held !== next.held) {
      before.held.retire()
      this.#replaced()
    }
    return next
  }
}

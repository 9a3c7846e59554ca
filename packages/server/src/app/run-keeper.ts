/**
 * Serves the runs of this node while they live: their sockets, their token files, and the end of both. A closed run
 * keeps its socket, which says so, until it would have expired; then nothing of it is left but its own work.
 */

import { VestryError } from '@vestry/contract/errors'
import { Sidecars } from '../http/sidecar.ts'
import { isOpen, type Run } from '../identity/runs/run.ts'
import type { RunStore } from '../identity/runs/run-store.ts'
import type { IssuedToken } from '../identity/runs/svid.ts'
import { TratSource } from '../identity/runs/trat-source.ts'
import type { Home } from './home.ts'
import {
  makeRunDirectories,
  type RunPaths,
  removeTokens,
  replaceFile,
  runPaths,
  runsOnDisk,
} from './run-files.ts'

export interface RunKeeperDeps {
  readonly home: Home
  readonly runs: RunStore
  readonly node: string
  readonly sealed: () => boolean
  readonly issueTrat: (runId: string) => Promise<IssuedToken>
  /** For the wires of this daemon, or for the audience asked for. */
  readonly issueSvid: (run: Run, requestId?: string, audience?: string) => Promise<IssuedToken>
  /** Told once when a run of this node is over. */
  readonly onEnd: (run: Run) => void
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
  readonly limits?: RunLimits
}

/** Each run that is served holds a descriptor. */
export interface RunLimits {
  readonly open: number
  /** Closed ones that keep their sockets; beyond it the first closed lose theirs first. */
  readonly ended: number
}

interface Kept {
  run: Run
  readonly paths: RunPaths
  source: TratSource
  /** What its files hold. */
  svid: IssuedToken | undefined
  trat: IssuedToken | undefined
  over: boolean
  /** Renewals of the files do not overlap. */
  renewing: Promise<void> | undefined
}

const TICK_MS = 1_000
const DEFAULT_LIMITS: RunLimits = { open: 8_192, ended: 1_024 }

export class RunKeeper {
  readonly #deps: RunKeeperDeps
  readonly #limits: RunLimits
  readonly #kept = new Map<string, Kept>()
  readonly #sidecars: Sidecars
  readonly #sockets = new Set<string>()
  /** Runs that are over and keep their sockets, the earliest first. */
  readonly #ended = new Set<string>()
  #ticking: NodeJS.Timeout | undefined
  #following: Promise<void> | undefined
  #again = false

  constructor(deps: RunKeeperDeps) {
    this.#deps = deps
    this.#limits = deps.limits ?? DEFAULT_LIMITS
    this.#sidecars = new Sidecars({
      trat: async (runId) => (await this.#serving(runId)).source.get(),
      svid: async (runId, audience, requestId) =>
        deps.issueSvid((await this.#serving(runId)).run, requestId, audience),
      onInternalError: (requestId, error) =>
        deps.warn(`internal error in ${requestId}: ${(error as Error).stack ?? String(error)}`),
    })
  }

  /** At unseal: takes up what is registered. A run whose socket cannot be opened is told of, and the others live. */
  async open(): Promise<void> {
    await this.#takeUp()
    // Of runs that ended while nobody was here.
    for (const id of runsOnDisk(this.#deps.home))
      if (!this.#kept.has(id)) this.#removeTokens(id, runPaths(this.#deps.home, id))
    this.#ticking ??= setInterval(() => this.tick(), TICK_MS).unref()
  }

  /** Begins to serve a run that was just registered. @throws VestryError when its socket or files cannot be made. */
  async add(run: Run): Promise<void> {
    this.assertRoom(run.id) // another may have come meanwhile
    const kept = this.#keep(run)
    makeRunDirectories(kept.paths)
    await this.#sidecars.open({ runId: run.id, path: kept.paths.socket, uid: run.uid })
    await this.#renewFiles(kept)
  }

  /**
   * @throws VestryError `RATE_LIMITED` when this node serves as many runs as it may; `CONFLICT` when the socket of
   *   another one has the same name.
   */
  assertRoom(runId: string): void {
    const limit = this.#limits.open
    if (this.#kept.size - this.#ended.size >= limit) {
      throw new VestryError('RATE_LIMITED', `${limit} runs are open on this node`, {
        hint: 'Close runs that are done',
        context: { scope: 'runs', limit, retry_after_ms: 60_000 },
      })
    }
    if (!this.#sockets.has(runPaths(this.#deps.home, runId).socket)) return
    throw new VestryError('CONFLICT', 'Another run has the socket of this name', {
      hint: 'Choose another run_id',
    })
  }

  /** Those that are served now. */
  openRuns(): Run[] {
    return [...this.#kept.values()].filter(({ over }) => !over).map(({ run }) => run)
  }

  /** A run of this node that was closed here. */
  closed(run: Run): void {
    const kept = this.#kept.get(run.id)
    if (kept === undefined) return
    kept.run = run
    this.#end(kept)
  }

  /** Looks for runs that another node has closed; asked for again meanwhile, it looks once more. */
  follow(): Promise<void> {
    if (this.#following !== undefined) {
      this.#again = true
      return this.#following
    }
    this.#following = this.#follow().finally(() => {
      this.#following = undefined
      if (!this.#again) return
      this.#again = false
      this.follow().catch(() => undefined)
    })
    return this.#following
  }

  /** Ends what is over by now, and renews tokens whose half life has passed. */
  tick(): void {
    const nowMs = this.#deps.now()
    for (const kept of [...this.#kept.values()]) {
      if (!isOpen(kept.run, nowMs)) this.#end(kept)
      if (nowMs >= kept.run.expiresAt) this.#forget(kept.run.id)
      else if (!kept.over && !this.#deps.sealed()) this.#renewFiles(kept).catch(() => undefined) // in a second again
    }
  }

  /** The keys that signed what the files hold are gone. */
  async renewAll(): Promise<void> {
    for (const kept of this.#kept.values()) this.#dropTokens(kept)
    for (const kept of this.#kept.values()) {
      await kept.renewing?.catch(() => undefined) // it began with the old keys
      if (!kept.over) await this.#renewFiles(kept).catch(() => undefined) // in a second again
    }
  }

  /** Sealed: tokens in memory go, sockets stay and say so. */
  seal(): void {
    clearInterval(this.#ticking)
    this.#ticking = undefined
    for (const kept of this.#kept.values()) this.#dropTokens(kept)
  }

  async close(budgetMs: number): Promise<void> {
    this.seal()
    await this.#sidecars.closeAll(budgetMs)
  }

  async #takeUp(): Promise<void> {
    const { runs, node, warn, now } = this.#deps
    for (const run of await runs.list({ node, live: true })) {
      const kept = this.#kept.get(run.id) ?? this.#keep(run)
      kept.run = run
      const { socket: path } = kept.paths
      try {
        // A crash may have come between its row and these, or its store from another machine.
        if (isOpen(run, now())) makeRunDirectories(kept.paths)
        await this.#sidecars.open({ runId: run.id, path, uid: run.uid })
      } catch (error) {
        warn(`run ${run.id} has no socket: ${(error as Error).message}`)
      }
    }
    this.tick()
  }

  async #follow(): Promise<void> {
    const { runs, node } = this.#deps
    const open = new Set(await runs.openIds(node))
    for (const kept of [...this.#kept.values()]) {
      const { id } = kept.run
      if (kept.over || open.has(id)) continue
      const run = await runs.byId(id)
      if (run === undefined) this.#forget(id)
      else if (run.state === 'closed') this.closed(run)
    }
  }

  #keep(run: Run): Kept {
    const kept: Kept = {
      run,
      paths: runPaths(this.#deps.home, run.id),
      source: this.#sourceOf(run.id),
      svid: undefined,
      trat: undefined,
      over: false,
      renewing: undefined,
    }
    this.#kept.set(run.id, kept)
    this.#sockets.add(kept.paths.socket)
    return kept
  }

  #dropTokens(kept: Kept): void {
    kept.source = this.#sourceOf(kept.run.id)
    kept.svid = undefined
    kept.trat = undefined
  }

  #sourceOf(runId: string): TratSource {
    const { issueTrat, now } = this.#deps
    return new TratSource({ issue: () => issueTrat(runId), now })
  }

  async #serving(runId: string): Promise<Kept> {
    if (this.#deps.sealed())
      throw new VestryError('VAULT_LOCKED', 'Sealed: no token can be had just now')
    const run = await this.#deps.runs.byId(runId)
    const kept = this.#kept.get(runId)
    if (kept === undefined || run === undefined || !isOpen(run, this.#deps.now()))
      throw new VestryError('RUN_CLOSED')
    return kept
  }

  #renewFiles(kept: Kept): Promise<void> {
    kept.renewing ??= this.#writeFiles(kept).finally(() => {
      kept.renewing = undefined
    })
    return kept.renewing
  }

  async #writeFiles(kept: Kept): Promise<void> {
    const { issueSvid, now } = this.#deps
    const { svid, source } = kept
    // Closed meanwhile: its files are gone, and stay gone. Or the keys are: what they signed is worth nothing.
    const isStale = (): boolean => kept.over || kept.source !== source
    if (svid === undefined || now() * 2 >= svid.issuedAtMs + svid.expiresAtMs) {
      const next = await issueSvid(kept.run)
      if (isStale()) return
      replaceFile(kept.paths.svid, next.token)
      kept.svid = next
    }
    const trat = await source.renew()
    if (isStale() || trat === kept.trat) return
    replaceFile(kept.paths.trat, trat.token)
    kept.trat = trat
  }

  /** A run ends whatever its directory has become: its tokens are worth nothing any more. */
  #removeTokens(runId: string, paths: RunPaths): void {
    try {
      removeTokens(paths)
    } catch (error) {
      this.#deps.warn(`the token files of run ${runId} stay: ${(error as Error).message}`)
    }
  }

  #end(kept: Kept): void {
    if (kept.over) return
    kept.over = true
    this.#deps.onEnd(kept.run)
    this.#removeTokens(kept.run.id, kept.paths)
    this.#ended.add(kept.run.id)
    // Without its socket a closed run is as closed.
    for (const id of this.#ended) {
      if (this.#ended.size <= this.#limits.ended) break
      this.#forget(id)
    }
  }

  #forget(runId: string): void {
    const kept = this.#kept.get(runId)
    if (kept === undefined) return
    this.#end(kept)
    this.#kept.delete(runId)
    this.#ended.delete(runId)
    this.#sockets.delete(kept.paths.socket)
    this.#sidecars.close(runId)
  }
}

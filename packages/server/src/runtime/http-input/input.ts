/** One HTTP input of this node: how it is set up, the port it has, and what it does with requests. */
import { asVestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../../audit/log.ts'
import type { Listener } from '../../egress/addresses.ts'
import type { BodyMemory } from '../../llm/wire/request-body.ts'
import { isReference, type SecretResolver } from '../../secrets/resolver.ts'
import type { ClientAddress } from '../wire/client-address.ts'
import type { AgentInvoker } from './agent-invoker.ts'
import { type InputAuth, inputAuth } from './input-auth.ts'
import {
  addressOf,
  type InputConfig,
  isAuthenticated,
  isLoopback,
  shownConfig,
} from './input-config.ts'
import { InputListener } from './input-listener.ts'
import type { InputStats } from './input-stats.ts'
import type { StoredInput } from './input-store.ts'
import { type Answer, type Arrival, answer } from './pipeline.ts'

export interface InputDeps {
  readonly agents: AgentInvoker
  readonly secrets: SecretResolver
  readonly audit: Pick<AuditLog, 'append'>
  /** Counts refusals, for the record of them. */
  readonly refused: (actor: string, scope: string) => void
  readonly bodies: BodyMemory
  readonly clientAddress: ClientAddress
  /** Addresses that egress must not reach. */
  readonly ownListeners: Listener[]
  readonly allowOpenListeners: boolean
  readonly corsOrigins: readonly string[]
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
}

export interface Setting {
  readonly config: InputConfig
  readonly auth: InputAuth | undefined
}

/** What can fail has been done; one of the two follows. */
export interface Prepared {
  commit(): void
  undo(): Promise<void>
}

interface Port {
  readonly listener: InputListener
  readonly own: Listener
}

const ANSWER_WITHIN_MS = 24_000
export const STOP_BUDGET_MS = 2_000
const FIRST_RETRY_MS = 2_000
const MAX_RETRY_MS = 60_000

export class Input {
  readonly id: string
  readonly createdAt: number
  readonly stats: InputStats
  readonly #deps: InputDeps
  #setting: Setting
  version: number
  enabled: boolean
  #port: Port | undefined
  #startedAtMs: number | undefined
  #lastError: string | undefined
  #active = 0
  #retryAtMs = 0
  #retries = 0

  constructor(stored: StoredInput, stats: InputStats, deps: InputDeps) {
    this.id = stored.id
    this.createdAt = stored.createdAt
    this.version = stored.version
    this.enabled = stored.enabled
    this.stats = stats
    this.#deps = deps
    this.#setting = { config: stored.config, auth: undefined }
  }

  get config(): InputConfig {
    return this.#setting.config
  }

  get listens(): boolean {
    return this.#port !== undefined
  }

  /** Whether it should listen, does not, and it is time to try. */
  get isDue(): boolean {
    return this.enabled && !this.listens && this.#retryAtMs <= this.#deps.now()
  }

  /** @throws VestryError INVALID_PARAMS for a key file that cannot be used. */
  settingOf(config: InputConfig): Setting {
    return { config, auth: inputAuth(config, this.#deps) }
  }

  /** @throws VestryError INVALID_PARAMS, PORT_IN_USE */
  async start(): Promise<void> {
    if (this.#port !== undefined) return
    this.#setting = this.settingOf(this.config)
    await this.#occupy(this.#setting, this.config.port)
  }

  /** One that cannot says so, and is tried again. */
  async tryStart(): Promise<void> {
    try {
      await this.start()
    } catch (error) {
      this.#failed(error)
    }
  }

  async halt(budgetMs: number): Promise<void> {
    const port = this.#port
    this.#port = undefined
    this.#startedAtMs = undefined
    this.#lastError = undefined
    this.#retries = 0
    this.#retryAtMs = 0
    await this.#left(port, budgetMs)
  }

  /** It was changed elsewhere. */
  async adopt({ config, enabled, version }: StoredInput): Promise<void> {
    await this.halt(STOP_BUDGET_MS)
    this.#setting = { config, auth: undefined }
    this.enabled = enabled
    this.version = version
    if (enabled) await this.tryStart()
  }

  /**
   * Takes another port before the one it has is left, or exchanges the addresses of one port. The new one serves
   * nobody until all is settled: it must not be open under the old setting.
   *
   * @throws VestryError PORT_IN_USE, INVALID_PARAMS
   */
  async prepare(next: Setting): Promise<Prepared> {
    const before = this.#port
    const setting = this.#setting
    const moves =
      before !== undefined &&
      (this.#addressOf(next.config) !== before.own.address ||
        (next.config.port !== this.config.port && next.config.port !== before.own.port))
    if (!moves) {
      const commit = () => {
        this.#setting = next
      }
      return { commit, undo: async () => undefined }
    }
    const sharesPort = next.config.port === before.own.port
    // No two addresses of which one is "all" can have the same port.
    const left = sharesPort ? this.#left(before, STOP_BUDGET_MS) : undefined
    const restore = async () => {
      if (!sharesPort) return
      this.#port = undefined
      await this.#occupy(setting, before.own.port).catch((error: unknown) => this.#failed(error))
    }
    let after: Port
    try {
      after = await this.#take(next, next.config.port)
    } catch (error) {
      await restore()
      throw error
    }
    return {
      commit: () => {
        this.#setting = next
        this.#port = after
        // Not waited for: what it still answers may take its time.
        void (left ?? this.#left(before, STOP_BUDGET_MS))
      },
      undo: async () => {
        await this.#left(after, 0)
        await restore()
      },
    }
  }

  async serve(arrival: Arrival): Promise<Answer> {
    const { config, auth } = this.#setting
    const { agents, now } = this.#deps
    this.#active += 1
    try {
      const given = await answer(
        {
          id: this.id,
          config,
          auth,
          agents,
          stats: this.stats,
          active: () => this.#active - 1,
          now,
          answerWithinMs: ANSWER_WITHIN_MS,
        },
        arrival,
      )
      if (config.audit_enabled) await this.#record(arrival, given)
      return given
    } finally {
      this.#active -= 1
    }
  }

  metrics(): Record<string, unknown> {
    return {
      server_id: this.id,
      ...this.stats.view({ active: this.#active, uptimeSeconds: this.#uptime() }),
    }
  }

  view(): Record<string, unknown> {
    const { config } = this
    const address = this.#port?.own.address ?? this.#addressOf(config)
    const isOpen = !isAuthenticated(config)
    const warnings = [
      ...(isOpen && !isLoopback(config.bind_address) && isLoopback(address)
        ? ['no authentication configured: listening on loopback only']
        : []),
      ...(isOpen && !isLoopback(address)
        ? ['no authentication configured: anybody who reaches the port may start the agent']
        : []),
    ]
    return {
      server_id: this.id,
      config: shownConfig(config, isReference),
      status: this.listens ? 'running' : this.#lastError !== undefined ? 'error' : 'stopped',
      uptime_seconds: this.listens ? this.#uptime() : null,
      requests_processed: this.stats.processed,
      active_connections: this.#active,
      last_error: this.#lastError ?? null,
      effective_bind_address: address,
      bound_port: this.#port?.own.port ?? null,
      warnings,
    }
  }

  async #occupy(setting: Setting, port: number): Promise<void> {
    this.#port = await this.#take(setting, port)
    this.#startedAtMs = this.#deps.now()
    this.#lastError = undefined
    this.#retries = 0
  }

  async #take({ config }: Setting, port: number): Promise<Port> {
    const { clientAddress, bodies, ownListeners, corsOrigins } = this.#deps
    const address = this.#addressOf(config)
    let listener: InputListener | undefined
    listener = await InputListener.listen({
      address,
      port,
      serving: () => {
        if (listener === undefined || this.#port?.listener !== listener) return undefined
        const { path, cors_enabled: cors } = this.config
        return { path, corsOrigins: cors ? corsOrigins : [] }
      },
      clientAddress,
      bodies,
      onRequest: (arrival) => this.serve(arrival),
    })
    const own = { address, port: listener.port }
    ownListeners.push(own)
    return { listener, own }
  }

  async #left(port: Port | undefined, budgetMs: number): Promise<void> {
    if (port === undefined) return
    const { ownListeners } = this.#deps
    const at = ownListeners.indexOf(port.own)
    if (at >= 0) ownListeners.splice(at, 1)
    await port.listener.close(budgetMs)
  }

  #failed(error: unknown): void {
    const { message } = asVestryError(error)
    if (this.#lastError !== message)
      this.#deps.warn(`HTTP input ${this.id} does not listen: ${message}`)
    this.#startedAtMs = undefined
    this.#lastError = message
    this.#retryAtMs = this.#deps.now() + Math.min(FIRST_RETRY_MS * 2 ** this.#retries, MAX_RETRY_MS)
    this.#retries += 1
  }

  #addressOf(config: InputConfig): string {
    return addressOf(config, this.#deps.allowOpenListeners)
  }

  #uptime(): number {
    if (this.#startedAtMs === undefined) return 0
    return Math.max(0, Math.floor((this.#deps.now() - this.#startedAtMs) / 1_000))
  }

  /** Refusals are summed up: strangers must not fill the disk with them. */
  async #record({ requestId, trusted, remoteAddress }: Arrival, given: Answer): Promise<void> {
    const { status, agent, rejected } = given
    if (rejected !== undefined && !trusted)
      return this.#deps.refused('anonymous', `http_input ${this.id} ${rejected}`)
    const entry = {
      action: 'http_input.request',
      phase: 'single',
      detail: `http_input.request ${this.id} ${status}`,
      success: status < 400,
      actor: trusted ? 'operator' : 'anonymous',
      source: 'runtime',
      agent,
      request_id: requestId,
      data: {
        input: this.id,
        agent,
        status,
        ...(rejected !== undefined && { rejected }),
        ...(remoteAddress !== undefined && { address: remoteAddress }),
      },
    } as const
    // Without the log no agent is started; that this could not be told as well is said by the log's own state.
    await this.#deps.audit.append(entry, 'written').catch(() => undefined)
  }
}

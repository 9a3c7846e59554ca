/** All HTTP inputs of this daemon: made, changed, started, stopped, started again after a restart, and asked in process. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId, newTimeOrderedId } from '@vestry/contract/ids'
import type { AuditLog } from '../../audit/log.ts'
import type { Listener } from '../../egress/addresses.ts'
import { isReference, type SecretResolver } from '../../secrets/resolver.ts'
import type { AgentInvoker } from './agent-invoker.ts'
import { type InputAuth, inputAuth } from './input-auth.ts'
import {
  agentsOf,
  type InputConfig,
  isAuthenticated,
  readInputConfig,
  shownConfig,
} from './input-config.ts'
import { InputListener } from './input-listener.ts'
import { InputStats } from './input-stats.ts'
import { type InputStore, unknownInput } from './input-store.ts'
import { type Answer, type Arrival, answer } from './pipeline.ts'

export interface InputsDeps {
  readonly store: InputStore
  readonly agents: AgentInvoker
  readonly secrets: SecretResolver
  readonly audit: AuditLog
  /** Addresses that egress must not reach. */
  readonly ownListeners: Listener[]
  readonly allowOpenListeners: boolean
  readonly corsOrigins: readonly string[]
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
}

interface Input {
  readonly id: string
  config: InputConfig
  auth: InputAuth | undefined
  enabled: boolean
  readonly createdAt: number
  readonly stats: InputStats
  listener: InputListener | undefined
  own: Listener | undefined
  startedAtMs: number | undefined
  lastError: string | undefined
  active: number
  retryAtMs: number
  retries: number
}

const LOOPBACK = '127.0.0.1'
const ANSWER_WITHIN_MS = 24_000
const STOP_BUDGET_MS = 2_000
const TICK_MS = 1_000
const MAX_RETRY_MS = 60_000
const MAX_INPUTS = 256

export class HttpInputs {
  readonly #deps: InputsDeps
  readonly #inputs = new Map<string, Input>()
  #ticking: NodeJS.Timeout | undefined
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(deps: InputsDeps) {
    this.#deps = deps
  }

  /** The vault is open: those that were running run again. One that cannot says so, and is tried again. */
  async open(): Promise<void> {
    for (const { id, config, enabled, createdAt } of await this.#deps.store.list()) {
      const stats = new InputStats(await this.#deps.store.counters(id))
      const input = this.#keep({ id, config, enabled, createdAt, stats })
      if (enabled) await this.#tryStart(input)
    }
    this.#ticking = setInterval(() => void this.#tick(), TICK_MS).unref()
  }

  /** Sealed: nothing listens, nothing stays in memory. */
  async close(budgetMs: number = STOP_BUDGET_MS): Promise<void> {
    clearInterval(this.#ticking)
    await this.#keepCounters()
    await Promise.all(Array.from(this.#inputs.values(), (input) => this.#halt(input, budgetMs)))
    await this.#keepCounters()
    this.#inputs.clear()
  }

  /** Oldest first. @param agentName Only those that this agent answers. */
  list(agentName?: string): Record<string, unknown>[] {
    return [...this.#inputs.values()]
      .filter(({ config }) => agentName === undefined || agentsOf(config).includes(agentName))
      .map((input) => this.#view(input))
  }

  /** @throws VestryError HTTP_INPUT_NOT_FOUND */
  info(id: string, agentName?: string): Record<string, unknown> {
    return this.#view(this.#find(id, agentName))
  }

  /** @throws VestryError HTTP_INPUT_NOT_FOUND */
  metrics(id: string, agentName?: string): Record<string, unknown> {
    const input = this.#find(id, agentName)
    return {
      server_id: id,
      ...input.stats.view({ active: input.active, uptimeSeconds: this.#uptime(input) }),
    }
  }

  /** @throws VestryError INVALID_PARAMS, AGENT_NOT_FOUND, PORT_IN_USE */
  create(given: unknown): Promise<Record<string, unknown>> {
    return this.#alone(async () => {
      const config = readInputConfig(given)
      if (this.#inputs.size >= MAX_INPUTS)
        throw new VestryError('CONFLICT', `There are ${MAX_INPUTS} HTTP inputs already`)
      await this.#assertAgents(config)
      const id = newTimeOrderedId('his', this.#deps.now())
      const input = this.#fresh({
        id,
        config,
        enabled: true,
        createdAt: this.#deps.now(),
        stats: new InputStats(),
      })
      input.auth = this.#authOf(config)
      await this.#start(input)
      try {
        await this.#deps.store.put(input)
      } catch (error) {
        await this.#halt(input, 0)
        throw error
      }
      this.#inputs.set(id, input)
      return this.#view(input)
    })
  }

  /** All of it, or nothing. A new port is opened before the old one is closed. */
  update(id: string, given: unknown): Promise<Record<string, unknown>> {
    return this.#alone(async () => {
      const input = this.#find(id)
      const before = { config: input.config, auth: input.auth }
      const config = readInputConfig(given, before.config)
      await this.#assertAgents(config)
      const auth = this.#authOf(config)
      const moves =
        input.listener !== undefined &&
        (this.#addressOf(config) !== this.#addressOf(before.config) ||
          (config.port !== before.config.port && config.port !== input.listener.port))
      const opened = moves ? await this.#listen(input, config) : undefined
      try {
        await this.#deps.store.put({ ...input, config })
      } catch (error) {
        await opened?.listener.close(0)
        throw error
      }
      input.config = config
      input.auth = auth
      if (opened !== undefined) {
        const { listener: old, own } = input
        this.#forgetOwn(own)
        input.listener = opened.listener
        input.own = opened.own
        this.#deps.ownListeners.push(opened.own)
        // Not waited for: what it still answers may take its time.
        void old?.close(STOP_BUDGET_MS)
      }
      return this.#view(input)
    })
  }

  start(id: string): Promise<Record<string, unknown>> {
    return this.#alone(async () => {
      const input = this.#find(id)
      if (input.listener === undefined) await this.#start(input)
      await this.#setEnabled(input, true)
      return { server_id: id, status: 'running' }
    })
  }

  stop(id: string): Promise<Record<string, unknown>> {
    return this.#alone(async () => {
      const input = this.#find(id)
      await this.#setEnabled(input, false)
      await this.#halt(input, STOP_BUDGET_MS)
      input.lastError = undefined
      return { server_id: id, status: 'stopped' }
    })
  }

  remove(id: string): Promise<Record<string, unknown>> {
    return this.#alone(async () => {
      const input = this.#find(id)
      await this.#deps.store.remove(id)
      this.#inputs.delete(id)
      await this.#halt(input, STOP_BUDGET_MS)
      return { server_id: id, status: 'deleted' }
    })
  }

  /** The same way as a request over the network, but for the network. */
  async trigger(
    id: string,
    { payload, headers = {} }: { payload: unknown; headers?: Readonly<Record<string, string>> },
    requestId: string = newRequestId(),
  ): Promise<Record<string, unknown>> {
    const input = this.#find(id)
    const startedMs = performance.now()
    const body = Buffer.from(JSON.stringify(payload))
    const lower = new Map(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    )
    // What is sent here is JSON, whatever header comes with it.
    lower.set('content-type', 'application/json')
    const made = await this.#serve(input, {
      method: 'POST',
      path: input.config.path,
      query: {},
      header: (name) => lower.get(name.toLowerCase()),
      authorization: [],
      contentLength: body.length,
      body: async () => body,
      requestId,
      remoteAddress: undefined,
      trusted: true,
    })
    return {
      status: made.status < 400 ? (made.status === 202 ? 'running' : 'completed') : 'failed',
      response_code: made.status,
      response_body: isObject(made.body) ? made.body : { output: made.body },
      processing_time_ms: Math.round((performance.now() - startedMs) * 1_000) / 1_000,
      agent_id: made.agent,
    }
  }

  #find(id: string, agentName?: string): Input {
    const input = this.#inputs.get(id)
    if (
      input === undefined ||
      (agentName !== undefined && !agentsOf(input.config).includes(agentName))
    )
      throw unknownInput(id)
    return input
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work)
    this.#last = mine.catch(() => undefined)
    return mine
  }

  #fresh(from: Pick<Input, 'id' | 'config' | 'enabled' | 'createdAt' | 'stats'>): Input {
    return {
      ...from,
      auth: undefined,
      listener: undefined,
      own: undefined,
      startedAtMs: undefined,
      lastError: undefined,
      active: 0,
      retryAtMs: 0,
      retries: 0,
    }
  }

  #keep(from: Pick<Input, 'id' | 'config' | 'enabled' | 'createdAt' | 'stats'>): Input {
    const input = this.#fresh(from)
    this.#inputs.set(input.id, input)
    return input
  }

  #authOf(config: InputConfig): InputAuth | undefined {
    return inputAuth(config, { secrets: this.#deps.secrets, now: this.#deps.now })
  }

  async #assertAgents(config: InputConfig): Promise<void> {
    for (const name of agentsOf(config)) {
      if (!(await this.#deps.agents.exists(name)))
        throw new VestryError('AGENT_NOT_FOUND', `Agent ${name} does not exist`)
    }
  }

  #addressOf(config: InputConfig): string {
    return isAuthenticated(config) || this.#deps.allowOpenListeners ? config.bind_address : LOOPBACK
  }

  async #listen(
    input: Input,
    config: InputConfig,
  ): Promise<{ listener: InputListener; own: Listener }> {
    const address = this.#addressOf(config)
    const listener = await InputListener.listen({
      address,
      port: config.port,
      path: () => input.config.path,
      maxBodyBytes: () => input.config.max_body_bytes,
      corsOrigins: () => (input.config.cors_enabled ? this.#deps.corsOrigins : undefined),
      onRequest: (arrival) => this.#serve(input, arrival),
    })
    return { listener, own: { address, port: listener.port } }
  }

  async #start(input: Input): Promise<void> {
    input.auth = this.#authOf(input.config)
    const { listener, own } = await this.#listen(input, input.config)
    input.listener = listener
    input.own = own
    input.startedAtMs = this.#deps.now()
    input.lastError = undefined
    input.retries = 0
    this.#deps.ownListeners.push(own)
  }

  async #tryStart(input: Input): Promise<void> {
    try {
      await this.#start(input)
    } catch (error) {
      const { message } = asVestryError(error)
      if (input.lastError !== message)
        this.#deps.warn(`HTTP input ${input.id} does not listen: ${message}`)
      input.lastError = message
      input.retries += 1
      input.retryAtMs = this.#deps.now() + Math.min(TICK_MS * 2 ** input.retries, MAX_RETRY_MS)
    }
  }

  async #halt(input: Input, budgetMs: number): Promise<void> {
    const { listener, own } = input
    input.listener = undefined
    input.own = undefined
    input.startedAtMs = undefined
    this.#forgetOwn(own)
    await listener?.close(budgetMs)
  }

  #forgetOwn(own: Listener | undefined): void {
    const at = own === undefined ? -1 : this.#deps.ownListeners.indexOf(own)
    if (at >= 0) this.#deps.ownListeners.splice(at, 1)
  }

  async #setEnabled(input: Input, enabled: boolean): Promise<void> {
    if (input.enabled === enabled) return
    await this.#deps.store.put({ ...input, enabled })
    input.enabled = enabled
  }

  async #serve(input: Input, arrival: Arrival): Promise<Answer> {
    const { config } = input
    input.active += 1
    try {
      const given = await answer(
        {
          id: input.id,
          config,
          auth: input.auth,
          agents: this.#deps.agents,
          stats: input.stats,
          active: () => input.active - 1,
          now: this.#deps.now,
          answerWithinMs: ANSWER_WITHIN_MS,
        },
        arrival,
      )
      if (config.audit_enabled) this.#record(input, arrival, given)
      return given
    } finally {
      input.active -= 1
    }
  }

  #record(input: Input, { requestId, trusted, remoteAddress }: Arrival, given: Answer): void {
    const { status, agent, rejected } = given
    this.#deps.audit
      .append(
        {
          action: 'http_input.request',
          phase: 'single',
          detail: `http_input.request ${input.id} ${status}`,
          success: status < 400,
          actor: trusted ? 'operator' : 'anonymous',
          source: 'runtime',
          request_id: requestId,
          data: {
            input: input.id,
            agent,
            status,
            ...(rejected !== undefined && { rejected }),
            ...(remoteAddress !== undefined && { address: remoteAddress }),
          },
        },
        'written',
      )
      .catch(() => undefined) // said by the log's own state
  }

  async #tick(): Promise<void> {
    await this.#keepCounters()
    const nowMs = this.#deps.now()
    for (const input of this.#inputs.values()) {
      if (input.enabled && input.listener === undefined && input.retryAtMs <= nowMs)
        await this.#alone(async () => {
          if (input.listener === undefined && this.#inputs.get(input.id) === input)
            await this.#tryStart(input)
        })
    }
  }

  async #keepCounters(): Promise<void> {
    for (const { id, stats } of this.#inputs.values()) {
      if (!stats.dirty) continue
      stats.dirty = false
      await this.#deps.store.keepCounters(id, stats.counters()).catch(() => {
        stats.dirty = true // the next tick tries again
      })
    }
  }

  #uptime({ startedAtMs }: Input): number {
    return startedAtMs === undefined
      ? 0
      : Math.max(0, Math.floor((this.#deps.now() - startedAtMs) / 1_000))
  }

  #view(input: Input): Record<string, unknown> {
    const { id, config, listener, lastError, stats, active } = input
    const address = this.#addressOf(config)
    const warnings = [
      ...(address !== config.bind_address
        ? ['no authentication configured: listening on loopback only']
        : []),
      ...(!isAuthenticated(config) && address !== LOOPBACK
        ? ['no authentication configured: anybody who reaches the port may start the agent']
        : []),
    ]
    return {
      server_id: id,
      config: shownConfig(config, isReference),
      status: listener !== undefined ? 'running' : lastError !== undefined ? 'error' : 'stopped',
      uptime_seconds: listener === undefined ? null : this.#uptime(input),
      requests_processed: stats.processed,
      active_connections: active,
      last_error: lastError ?? null,
      effective_bind_address: address,
      bound_port: listener?.port ?? null,
      warnings,
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** All MCP servers of this daemon: their configurations, their connections, and what the rest of Vestry sees of them. */
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import type { Changed } from '../identity/row-guard.ts'
import type { ConnectDeps } from './connect/connection.ts'
import { ManagedServer } from './connect/managed-server.ts'
import type { Cause } from './connect/process-record.ts'
import { belonging, signal as signalAll } from './connect/process-table.ts'
import type { ServerConfig } from './connect/server-config.ts'
import type { CallOptions } from './connect/session.ts'
import { Watcher } from './connect/watcher.ts'
import type { LiveResource, LiveTool, McpHub, McpServerState, ToolResult } from './hub.ts'
import { type Added, type ServerStore, unknownServer } from './server-store.ts'

export interface McpServersDeps extends Omit<ConnectDeps, 'mark' | 'onTools'> {
  readonly store: ServerStore
  /** Of the home: processes that an earlier daemon of it left behind are known by it. */
  readonly home: string
  readonly enabled: boolean
  readonly autoConnect: boolean
  readonly random: () => number
}

type ToolsListener = (server: string, tools: readonly LiveTool[]) => void

/** One configuration is small; what is connected is not. */
const MAX_SERVERS = 256
/** Connected one after the other at start, this many side by side. */
const STARTING = 4
/** Of the time a stopping daemon has. */
const FOR_CALLS = 0.6
const SEAL_PATIENCE_MS = 1_000
const LOOK_MS = 20
const LEISURE_MS = 2_000

export class McpServers implements McpHub {
  readonly #deps: McpServersDeps
  readonly #servers = new Map<string, ManagedServer>()
  readonly #listeners: ToolsListener[] = []
  /** Same for every daemon of this home, and another for each daemon. */
  readonly #homeMark: string
  readonly #mark: string
  #watcher: Watcher | undefined
  #reading: Promise<void> = Promise.resolve()
  #open = false

  constructor(deps: McpServersDeps) {
    this.#deps = deps
    this.#homeMark = hash('sha256', deps.home).slice(0, 16)
    this.#mark = `${this.#homeMark}-${randomHex(8)}`
  }

  /** The vault is open: leftovers of a daemon that was killed are ended, and servers connected in the background. */
  async open(): Promise<void> {
    if (!this.#deps.enabled) return
    this.#open = true
    await this.#read()
    // Looking at every process takes time, which the start of a daemon without servers need not.
    if (this.#servers.size > 0) this.#endLeftovers()
    else setTimeout(() => this.#open && this.#endLeftovers(), LEISURE_MS).unref()
    if (!this.#deps.autoConnect) return
    const waiting = [...this.#servers.values()].filter(({ config }) => config.autoConnect)
    const lanes = Array.from({ length: STARTING }, async () => {
      for (let next = waiting.shift(); next !== undefined && this.#open; next = waiting.shift())
        await next.connect({ caller: undefined, why: 'start' }).catch(() => undefined)
    })
    void Promise.all(lanes)
  }

  /** The daemon stops: calls under way get most of the time, then everything is disconnected. */
  async drain(budgetMs: number): Promise<void> {
    const endsAtMs = performance.now() + budgetMs * FOR_CALLS
    while (performance.now() < endsAtMs && this.#sorted().some(({ inFlight }) => inFlight > 0))
      await sleep(LOOK_MS)
    await this.close('stop', budgetMs * (1 - FOR_CALLS))
  }

  /**
   * Sealed, or stopped: everything is disconnected and forgotten.
   *
   * @param patienceMs For servers to end by themselves.
   */
  async close(why: 'seal' | 'stop', patienceMs = SEAL_PATIENCE_MS): Promise<void> {
    this.#open = false
    const all = [...this.#servers.values()]
    this.#servers.clear()
    const late = setTimeout(() => {
      for (const server of all) server.hurry()
    }, patienceMs)
    await this.#reading.catch(() => undefined)
    await Promise.all(all.map((server) => server.retire({ caller: undefined, why })))
    clearTimeout(late)
    this.#watcher?.[Symbol.dispose]()
    this.#watcher = undefined
  }

  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void {
    if (this.#open && tables.includes('mcp_server')) void this.#read().catch(() => undefined)
  }

  /** @throws VestryError ALREADY_EXISTS; INVALID_STATE_TRANSITION when there are too many. */
  async add(
    config: ServerConfig,
    { replace, cause }: { replace: boolean; cause: Cause },
  ): Promise<Changed<Added>> {
    this.#assertEnabled()
    if (!this.#servers.has(config.name) && this.#servers.size >= MAX_SERVERS) {
      throw new VestryError(
        'INVALID_STATE_TRANSITION',
        `There are ${MAX_SERVERS} MCP servers, which is the most`,
      )
    }
    const changed = await this.#deps.store.add(config, { replace })
    if (changed.value === 'same') return changed
    await this.#servers.get(config.name)?.disconnect({ ...cause, why: 'changed' })
    await this.#read()
    return changed
  }

  /** @throws VestryError MCP_SERVER_NOT_FOUND */
  async remove(name: string, cause: Cause): Promise<Changed<void>> {
    const changed = await this.#deps.store.remove(name)
    await this.#servers.get(name)?.disconnect({ ...cause, why: 'removed' })
    await this.#read()
    return changed
  }

  /**
   * @param waitMs After that it goes on without the caller: the state is `connecting`.
   * @throws VestryError MCP_SERVER_NOT_FOUND, and as {@link ManagedServer.connect}.
   */
  async connect(name: string, { waitMs, cause }: { waitMs: number; cause: Cause }) {
    this.#assertEnabled()
    const server = this.#named(name)
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, waitMs)
    try {
      const connecting = server.connect(cause)
      connecting.catch(() => undefined)
      await Promise.race([connecting, late])
    } finally {
      clearTimeout(timer)
    }
    return server.state
  }

  /** @throws VestryError MCP_SERVER_NOT_FOUND */
  async disconnect(name: string, cause: Cause): Promise<McpServerState> {
    const server = this.#named(name)
    await server.disconnect(cause)
    return server.state
  }

  servers(): readonly McpServerState[] {
    return this.#sorted().map(({ state }) => state)
  }

  server(name: string): McpServerState | undefined {
    return this.#servers.get(name)?.state
  }

  /** @throws VestryError MCP_SERVER_NOT_FOUND */
  config(name: string): ServerConfig {
    return this.#named(name).config
  }

  tools(server?: string): readonly LiveTool[] {
    return this.#of(server).flatMap(({ tools }) => tools)
  }

  tool(server: string, name: string): LiveTool | undefined {
    return this.#servers.get(server)?.tool(name)
  }

  resources(server?: string): readonly LiveResource[] {
    return this.#of(server).flatMap(({ resources }) => resources)
  }

  /** @throws VestryError MCP_SERVER_NOT_FOUND, MCP_NOT_CONNECTED, MCP_PROTOCOL_ERROR, MCP_TIMEOUT */
  prompts(server: string, signal: AbortSignal): Promise<readonly unknown[]> {
    return this.#named(server).session.prompts(signal)
  }

  /** The contents of one resource. @throws as {@link prompts} */
  read(server: string, uri: string, signal: AbortSignal): Promise<readonly unknown[]> {
    return this.#named(server).session.read(uri, signal)
  }

  /** What it wrote to its standard error. @throws VestryError MCP_SERVER_NOT_FOUND */
  logs(server: string): string {
    return this.#named(server).logs
  }

  async call(
    server: string,
    tool: string,
    given: Readonly<Record<string, unknown>>,
    options: CallOptions,
  ): Promise<ToolResult> {
    return this.#named(server).session.call(tool, given, options)
  }

  onTools(listener: ToolsListener): void {
    this.#listeners.push(listener)
  }

  get connectedCount(): number {
    return this.#sorted().filter(({ status }) => status === 'connected').length
  }

  /** One at a time: the last one to end is the last one that read. */
  #read(): Promise<void> {
    const mine = this.#reading.catch(() => undefined).then(() => this.#follow())
    this.#reading = mine
    return mine
  }

  async #follow(): Promise<void> {
    if (!this.#open) return
    const configs = await this.#deps.store.list()
    const cause: Cause = { caller: undefined, why: 'changed' }
    const wanted = new Map(configs.map((config) => [config.name, config]))
    for (const [name, server] of this.#servers) {
      const config = wanted.get(name)
      if (config !== undefined && JSON.stringify(config) === JSON.stringify(server.config)) continue
      this.#servers.delete(name)
      await server.retire(cause)
    }
    for (const [name, config] of wanted) {
      if (this.#open && !this.#servers.has(name)) this.#servers.set(name, this.#managed(config))
    }
  }

  #managed(config: ServerConfig): ManagedServer {
    return new ManagedServer(config, {
      ...this.#deps,
      mark: () => this.#watched(),
      onTools: (server, tools) => {
        for (const listener of this.#listeners) listener(server, tools)
      },
    })
  }

  /** Before the first process: from then on there is something to be watched. */
  #watched(): string {
    if (process.platform === 'linux') this.#watcher ??= new Watcher(this.#mark, this.#deps.note)
    return this.#mark
  }

  /** The lock of the home is ours, so whoever carries its mark has lost its daemon. */
  #endLeftovers(): void {
    const own = new Set(belonging(this.#mark).map(({ pid }) => pid))
    const left = belonging(`${this.#homeMark}-`).filter(({ pid }) => !own.has(pid))
    if (left.length === 0) return
    signalAll(left, 'SIGKILL')
    this.#deps.note(
      `${left.length} processes of MCP servers had outlived their daemon and were ended`,
    )
  }

  #assertEnabled(): void {
    if (this.#deps.enabled) return
    throw new VestryError('INVALID_STATE_TRANSITION', 'MCP servers are switched off', {
      hint: 'Set runtime.mcp_enabled in vestry.yaml.',
    })
  }

  #named(name: string): ManagedServer {
    const server = this.#servers.get(name)
    if (server === undefined) throw unknownServer(name)
    return server
  }

  #of(server: string | undefined): readonly ManagedServer[] {
    if (server === undefined) return this.#sorted()
    const one = this.#servers.get(server)
    return one === undefined ? [] : [one]
  }

  #sorted(): ManagedServer[] {
    return [...this.#servers.values()].sort((a, b) =>
      a.config.name < b.config.name ? -1 : a.config.name > b.config.name ? 1 : 0,
    )
  }
}

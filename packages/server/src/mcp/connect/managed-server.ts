/**
 * One configured server over its life: connecting, connected, in error, disconnected; at most one of these at a time,
 * whoever asks for what. Started again after it ended by itself, if its configuration says so.
 */
import { redactText } from '@vestry/coat/redaction'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { LiveResource, LiveTool, McpServerState, McpStatus } from '../hub.ts'
import { type Attempt, type ConnectDeps, type Connected, openConnection } from './connection.ts'
import { shown } from './meaning.ts'
import { BY_ITSELF, type Cause } from './process-record.ts'
import type { ServerConfig } from './server-config.ts'
import type { Session } from './session.ts'
import type { Wire } from './wire.ts'

export interface ManagedDeps extends ConnectDeps {
  readonly random: () => number
  readonly onTools: (server: string, tools: readonly LiveTool[]) => void
}

type State =
  | { readonly status: 'disconnected' }
  | { readonly status: 'connecting'; readonly attempt: Attempt; readonly done: Promise<void> }
  | { readonly status: 'connected'; readonly connected: Connected }
  | { readonly status: 'error'; readonly error: VestryError }

/** Pauses before a server is started again: doubled each time, up to a minute. */
const FIRST_PAUSE_MS = 1_000
const MAX_PAUSE_MS = 60_000
/** In a row; then somebody has to look at it. */
const MAX_RESTARTS = 12
/** Who lived this long starts anew with short pauses. */
const SETTLED_MS = 60_000
const STDERR_SHOWN = 2_048

export class ManagedServer {
  readonly config: ServerConfig
  readonly #deps: ManagedDeps
  #state: State = { status: 'disconnected' }
  #closing: Promise<void> = Promise.resolve()
  #leaving: Wire | undefined
  #lastError: string | undefined
  #logs = ''
  #restarts = 0
  #again: NodeJS.Timeout | undefined
  #retired = false

  constructor(config: ServerConfig, deps: ManagedDeps) {
    this.config = config
    this.#deps = deps
  }

  get status(): McpStatus {
    return this.#state.status
  }

  get state(): McpServerState {
    const { name, transport } = this.config
    const connected = this.#connected
    const session = connected?.session
    return {
      name,
      transport: connected?.transport ?? transport,
      status: this.#state.status,
      pid: connected?.wire.pid ?? this.#attempt?.wire?.pid,
      connectedAtMs: connected?.atMs,
      lastError: this.#lastError,
      toolsCount: session?.tools.length ?? 0,
      resourcesCount: session?.resources.length ?? 0,
      protocolVersion: session?.protocolVersion,
      serverInfo: session?.serverInfo,
    }
  }

  get tools(): readonly LiveTool[] {
    return this.#connected?.session.tools ?? []
  }

  get resources(): readonly LiveResource[] {
    return this.#connected?.session.resources ?? []
  }

  tool(name: string): LiveTool | undefined {
    return this.#connected?.session.tool(name)
  }

  /** What it wrote to its standard error, this time or the last. */
  get logs(): string {
    return this.#connected?.log.text() ?? this.#attempt?.log?.text() ?? this.#logs
  }

  /** @throws VestryError MCP_NOT_CONNECTED */
  get session(): Session {
    const connected = this.#connected
    if (connected !== undefined) return connected.session
    const { name } = this.config
    throw new VestryError('MCP_NOT_CONNECTED', `Server "${name}" is ${this.#state.status}`, {
      hint: `Connect it: vestry mcp connect ${name}`,
    })
  }

  /**
   * Joins the attempt that is under way, if one is.
   *
   * @throws VestryError MCP_PROTOCOL_ERROR, MCP_TIMEOUT, MCP_NOT_CONNECTED (disconnected meanwhile), VAULT_LOCKED,
   *   AUDIT_UNAVAILABLE and BACKEND_….
   */
  async connect(cause: Cause): Promise<void> {
    for (let closing = this.#closing; ; closing = this.#closing) {
      const state = this.#state
      if (state.status === 'connected') return
      if (state.status === 'connecting') return state.done
      await closing
      if (closing === this.#closing) break
    }
    // Others may have waited beside us.
    if (this.#state.status === 'connected' || this.#state.status === 'connecting')
      return this.connect(cause)
    if (this.#retired) throw disconnected(this.config.name)
    clearTimeout(this.#again)
    const attempt = openConnection(this.config, this.#deps, cause)
    const done = this.#follow(attempt)
    done.catch(() => undefined)
    this.#state = { status: 'connecting', attempt, done }
    return done
  }

  /** Calls under way. */
  get inFlight(): number {
    return this.#connected?.session.inFlight ?? 0
  }

  /** Whoever disconnects it has no more time. */
  hurry(): void {
    this.#leaving?.hurry()
  }

  /** As {@link disconnect}, for good: whoever waits to connect it comes too late. */
  retire(cause: Cause): Promise<void> {
    this.#retired = true
    return this.disconnect(cause)
  }

  /** Resolves when nothing of it runs any more. */
  async disconnect(cause: Cause): Promise<void> {
    clearTimeout(this.#again)
    this.#restarts = 0
    const state = this.#state
    if (state.status === 'disconnected') return this.#closing
    this.#keepLogs()
    this.#leaving = this.#connected?.wire ?? this.#attempt?.wire
    this.#state = { status: 'disconnected' }
    this.#lastError = undefined
    this.#closing = this.#close(state, cause)
    await this.#closing
  }

  async #close(state: State, cause: Cause): Promise<void> {
    if (state.status === 'connecting') {
      state.attempt.abort(disconnected(this.config.name))
      await state.done.catch(() => undefined)
    }
    if (state.status === 'connected') await state.connected.close(cause)
  }

  async #follow(attempt: Attempt): Promise<void> {
    try {
      const connected = await attempt.connected
      if (this.#attempt !== attempt) {
        await connected.close(BY_ITSELF)
        throw attempt.aborted ?? new VestryError('MCP_NOT_CONNECTED')
      }
      this.#state = { status: 'connected', connected }
      this.#lastError = undefined
      void connected.ended.then((reason) => this.#onEnd(connected, reason))
    } catch (error) {
      const failure = asConnectError(error)
      if (this.#attempt === attempt) this.#fail(failure, attempt.log?.tail(STDERR_SHOWN))
      throw failure
    }
    // After the state, so that who listens can ask for it.
    this.#deps.onTools(this.config.name, this.tools)
  }

  #onEnd(connected: Connected, reason: VestryError): void {
    if (this.#connected !== connected) return
    if (this.#deps.now() - connected.atMs >= SETTLED_MS) this.#restarts = 0
    this.#fail(reason, connected.log.tail(STDERR_SHOWN))
    void connected.close(BY_ITSELF)
  }

  #fail(error: VestryError, stderr: string | undefined): void {
    this.#keepLogs()
    // In the words of this server's own row.
    const reason = shown(error.message).replace(`Server "${this.config.name}" `, '')
    const told = stderr === undefined || stderr === '' ? reason : `${reason}\n${stderr}`
    // A program's path, and what it complains of, may be a key in the wrong place.
    this.#lastError = redactText(told).text
    this.#state = { status: 'error', error }
    if (this.config.restart) this.#tryAgain()
  }

  #tryAgain(): void {
    const { random, note } = this.#deps
    const { name } = this.config
    if (this.#restarts >= MAX_RESTARTS) {
      note(`MCP server '${name}' failed ${MAX_RESTARTS} times in a row and is left alone`)
      return
    }
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#restarts)
    this.#restarts += 1
    // Not all at the same moment, where many ended at the same moment.
    const waitMs = pauseMs * (0.5 + random() / 2)
    this.#again = setTimeout(() => void this.connect(BY_ITSELF).catch(() => undefined), waitMs)
    this.#again.unref()
  }

  #keepLogs(): void {
    this.#logs = this.logs
  }

  get #connected(): Connected | undefined {
    return this.#state.status === 'connected' ? this.#state.connected : undefined
  }

  get #attempt(): Attempt | undefined {
    return this.#state.status === 'connecting' ? this.#state.attempt : undefined
  }
}

function disconnected(name: string): VestryError {
  return new VestryError('MCP_NOT_CONNECTED', `Server "${name}" was disconnected meanwhile`)
}

/** What has a status of its own; anything else a server failed with is the server's failure to the caller. */
const AS_IT_IS = new Set([
  'MCP_PROTOCOL_ERROR',
  'MCP_TIMEOUT',
  'MCP_NOT_CONNECTED',
  'VAULT_LOCKED',
  'AUDIT_UNAVAILABLE',
  'BACKEND_UNAVAILABLE',
  'BACKEND_AUTH_FAILED',
  'BACKEND_ERROR',
  'BACKEND_TIMEOUT',
  'SHUTTING_DOWN',
])

function asConnectError(error: unknown): VestryError {
  const failure = asVestryError(error)
  if (AS_IT_IS.has(failure.code)) return failure
  return new VestryError('MCP_PROTOCOL_ERROR', failure.message, {
    ...(failure.hint !== undefined && { hint: failure.hint }),
    context: { reason: failure.code },
    cause: failure,
  })
}

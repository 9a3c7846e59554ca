/** One attempt to connect: secrets filled in, process started or address reached, handshake, lists. All within a time. */

import { asVestryError, VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import type { EgressDeps } from '../../egress/send.ts'
import { parseTarget } from '../../egress/url.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'
import type { LiveTool } from '../hub.ts'
import { type FilledIn, fillIn } from './fill-in.ts'
import { LegacySseWire } from './legacy-sse-wire.ts'
import { type Audit, type Cause, ServerRecord } from './process-record.ts'
import type { McpTransport, ServerConfig } from './server-config.ts'
import { Session } from './session.ts'
import { StderrLog } from './stderr-log.ts'
import { StdioWire } from './stdio-wire.ts'
import { OlderTransport, StreamableWire } from './streamable-wire.ts'
import { untilAborted } from './until-aborted.ts'
import type { Wire } from './wire.ts'

export interface ConnectDeps {
  readonly secrets: SecretResolver
  readonly egress: EgressDeps
  readonly audit: Audit
  readonly now: () => number
  readonly note: (line: string) => void
  /** Of the daemon; only its harmless part is passed on. */
  readonly environment: NodeJS.ProcessEnv
  /** Begins the mark of every process of this daemon. Called before each start. */
  readonly mark: () => string
  /** The lists changed while connected. */
  readonly onTools: (server: string, tools: readonly LiveTool[]) => void
}

export interface Connected {
  readonly session: Session
  readonly wire: Wire
  /** As it turned out. */
  readonly transport: McpTransport
  readonly log: StderrLog
  readonly atMs: number
  /** Resolves when it ends by itself. */
  readonly ended: Promise<VestryError>
  /** Idempotent. */
  close(cause: Cause): Promise<void>
}

export interface Attempt {
  readonly connected: Promise<Connected>
  readonly log: StderrLog | undefined
  /** What it talks through so far. */
  readonly wire: Wire | undefined
  /** Why it was given up, if it was. */
  readonly aborted: VestryError | undefined
  abort(reason: VestryError): void
}

export function openConnection(config: ServerConfig, deps: ConnectDeps, cause: Cause): Attempt {
  const attempt = new ConnectAttempt(config, deps, cause)
  return attempt
}

class ConnectAttempt implements Attempt {
  readonly connected: Promise<Connected>
  readonly #config: ServerConfig
  readonly #deps: ConnectDeps
  readonly #cause: Cause
  readonly #record: ServerRecord
  readonly #given = new AbortController()
  #log: StderrLog | undefined
  #wire: Wire | undefined

  constructor(config: ServerConfig, deps: ConnectDeps, cause: Cause) {
    this.#config = config
    this.#deps = deps
    this.#cause = cause
    this.#record = new ServerRecord(deps.audit, config)
    this.connected = this.#run()
    this.connected.catch(() => undefined)
  }

  get wire(): Wire | undefined {
    return this.#wire
  }

  get log(): StderrLog | undefined {
    return this.#log
  }

  get aborted(): VestryError | undefined {
    return this.#given.signal.aborted ? (this.#given.signal.reason as VestryError) : undefined
  }

  abort(reason: VestryError): void {
    this.#given.abort(reason)
  }

  async #run(): Promise<Connected> {
    const { name, timeoutSeconds } = this.#config
    const begun = await this.#record.begins(this.#cause, this.#deps.now)
    const late = setTimeout(
      () =>
        this.#given.abort(
          new VestryError(
            'MCP_TIMEOUT',
            `Server "${name}" was not ready within ${timeoutSeconds} s`,
          ),
        ),
      timeoutSeconds * 1_000,
    )
    try {
      const connected = await this.#open(async (pid) => begun.started(pid))
      const { session, wire, transport } = connected
      await begun.ended('OK', {
        ...(wire.pid !== undefined && { child_pid: wire.pid }),
        transport,
        protocol_version: session.protocolVersion,
        tools: session.tools.length,
        resources: session.resources.length,
      })
      return connected
    } catch (error) {
      await begun.ended(asVestryError(error).code, {})
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  async #open(onStarted: (pid: number) => Promise<void>): Promise<Connected> {
    const { signal } = this.#given
    const { secrets, now } = this.#deps
    const { name, transport, env, headers } = this.#config
    await using stack = new AsyncDisposableStack()
    const filled = stack.use(
      await untilAborted(
        signal,
        fillIn(transport === 'stdio' ? env : headers, { secrets, owner: `mcp:${name}` }),
        (late) => late[Symbol.dispose](),
      ),
    )
    const log = new StderrLog(filled.scrubber, now)
    this.#log = log
    const opened = await this.#talk(filled, log, onStarted)
    stack.defer(() => opened.session[Symbol.asyncDispose]())
    const held = stack.move()
    return this.#connection(opened, log, () => held.disposeAsync())
  }

  #connection(opened: Opened, log: StderrLog, dispose: () => Promise<void>): Connected {
    const { now } = this.#deps
    const startedMs = now()
    let closed: Promise<void> | undefined
    const pid = opened.wire.pid
    const close = async (cause: Cause): Promise<void> => {
      const failure = opened.wire.failure
      await dispose()
      await this.#record.ended(cause, {
        ...(pid !== undefined && { child_pid: pid }),
        connected_ms: now() - startedMs,
        ...(failure !== undefined && { reason: failure.message.slice(0, 200).toWellFormed() }),
      })
    }
    return {
      ...opened,
      log,
      atMs: startedMs,
      close: (cause) => {
        closed ??= close(cause)
        return closed
      },
    }
  }

  async #talk(
    filled: FilledIn,
    log: StderrLog,
    onStarted: (pid: number) => Promise<void>,
  ): Promise<Opened> {
    const { transport } = this.#config
    if (transport === 'stdio') return this.#process(filled, log, onStarted)
    if (transport === 'sse') return this.#remote('sse', filled, log)
    try {
      return await this.#remote('streamable_http', filled, log)
    } catch (error) {
      if (!(error instanceof OlderTransport)) throw error
      log.note(`no streamable HTTP here (${error.message}); trying the older transport`)
      return await this.#remote('sse', filled, log)
    }
  }

  async #process(
    filled: FilledIn,
    log: StderrLog,
    onStarted: (pid: number) => Promise<void>,
  ): Promise<Opened> {
    const { mark, environment } = this.#deps
    const { command, cwd } = this.#config
    const wire = new StdioWire(
      {
        command,
        cwd: cwd ?? undefined,
        env: filled.values,
        mark: `${mark()}-${randomHex(8)}`,
        base: environment,
      },
      log,
    )
    this.#given.signal.throwIfAborted()
    this.#wire = wire
    await wire.start()
    if (wire.pid !== undefined) await onStarted(wire.pid)
    return this.#session('stdio', wire, filled, log)
  }

  #remote(
    transport: Exclude<McpTransport, 'stdio'>,
    filled: FilledIn,
    log: StderrLog,
  ): Promise<Opened> {
    const { name, url, timeoutSeconds } = this.#config
    if (url === null) throw new VestryError('INTERNAL_ERROR', 'a remote server without an address')
    if (filled.hasSecrets) assertPrivate(url)
    const options = {
      server: name,
      url,
      headers: filled.values,
      egress: this.#deps.egress,
      timeoutMs: timeoutSeconds * 1_000,
      note: (line: string) => log.note(line),
    }
    const wire = transport === 'sse' ? new LegacySseWire(options) : new StreamableWire(options)
    return this.#session(transport, wire, filled, log)
  }

  async #session(
    transport: McpTransport,
    wire: Wire,
    { scrubber }: FilledIn,
    log: StderrLog,
  ): Promise<Opened> {
    this.#wire = wire
    const { name, timeoutSeconds } = this.#config
    const { now, onTools } = this.#deps
    const { promise: ended, resolve: onEnd } = Promise.withResolvers<VestryError>()
    let isOpen = false
    const session = await Session.open(
      {
        server: name,
        wire,
        scrubber,
        timeoutMs: timeoutSeconds * 1_000,
        now,
        note: (line) => log.note(line),
        onTools: (tools) => {
          if (isOpen) onTools(name, tools)
        },
        onEnd,
      },
      this.#given.signal,
    )
    isOpen = true
    return { session, wire, transport, ended }
  }
}

type Opened = Pick<Connected, 'session' | 'wire' | 'transport' | 'ended'>

/** A secret in a header must not cross a network in the clear. */
function assertPrivate(url: string): void {
  const { scheme, host } = parseTarget(url)
  // A name may begin as an address does.
  const isOwn = host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
  if (scheme === 'https' || isOwn) return
  throw new VestryError('MCP_PROTOCOL_ERROR', 'secrets in headers go over https only', {
    hint: 'Use the https address of the server.',
  })
}

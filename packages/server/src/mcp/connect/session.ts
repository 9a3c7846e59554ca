/**
 * One connected server: handshake, what it offers, kept up to date, and calls. The protocol library does the talking;
 * what it may hear is for the gate.
 */

import type { Client } from '@modelcontextprotocol/sdk/client'
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import * as z from 'zod'
import type { Scrubber } from '../../egress/scrub.ts'
import type { LiveResource, LiveTool, ToolResult } from '../hub.ts'
import { checkArguments } from './argument-check.ts'
import { Gate } from './gate.ts'
import { readPages, resourcesOf, toolsOf } from './listing.ts'
import { isMissingMethod, meaningOf } from './meaning.ts'
import { Refresher } from './refresher.ts'
import { SessionRenewed } from './session-renewed.ts'
import { Slots } from './slots.ts'
import { resultOf } from './tool-result.ts'
import { untilAborted, withinTime } from './until-aborted.ts'
import type { Wire } from './wire.ts'

export interface SessionDeps {
  readonly server: string
  readonly wire: Wire
  readonly scrubber: Scrubber
  /** Of one request, unless its caller says less. */
  readonly timeoutMs: number
  readonly now: () => number
  readonly note: (line: string) => void
  /** After each complete listing, the first included. */
  readonly onTools: (tools: readonly LiveTool[]) => void
  /** It ended, and not because it was closed. */
  readonly onEnd: (reason: VestryError) => void
}

export interface CallOptions {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly meta?: Readonly<Record<string, unknown>>
  /** The definition that was decided on: refused when the server has another one by now. */
  readonly expected?: LiveTool
}

type Json = Readonly<Record<string, unknown>>

/** Under way at one server; and waiting for that. */
const MAX_IN_FLIGHT = 64
const MAX_WAITING = 1_024
const DEBOUNCE_MS = 50
const LISTING_GAP_MS = 1_000
/** A listing of this size makes the gap a millisecond longer, so that storms of them cost little of our time. */
const CHARS_PER_GAP_MS = 400
const MAX_INFO_CHARS = 4_096

/** Nothing is made of it: numbers keep how they were written. */
const AS_IT_IS = z.unknown()

export class Session implements AsyncDisposable {
  readonly #deps: SessionDeps
  readonly #client: Client
  readonly #slots = new Slots(MAX_IN_FLIGHT, MAX_WAITING)
  readonly #refresh: Refresher
  #tools: readonly LiveTool[] = []
  #byName = new Map<string, LiveTool>()
  #resources: readonly LiveResource[] = []
  /** Of all lists, the last time. */
  #listedChars = 0
  #version: string | undefined
  #ended: VestryError | undefined
  #open = false

  private constructor(deps: SessionDeps, client: Client) {
    this.#deps = deps
    this.#client = client
    this.#refresh = new Refresher({
      work: () => this.#list(new AbortController().signal),
      onFailure: (error) => this.#lost(error),
      delayMs: DEBOUNCE_MS,
      gapMs: () => LISTING_GAP_MS + this.#listedChars / CHARS_PER_GAP_MS,
      now: deps.now,
    })
  }

  /**
   * @param signal Ends the attempt; its reason is thrown.
   * @throws VestryError MCP_PROTOCOL_ERROR, MCP_TIMEOUT; whatever the wire fails with. Nothing is left open then.
   */
  static async open(deps: SessionDeps, signal: AbortSignal): Promise<Session> {
    // Loaded with the first server: it takes longer than the rest of our start.
    const [{ Client }, types] = await Promise.all([
      import('@modelcontextprotocol/sdk/client'),
      import('@modelcontextprotocol/sdk/types.js'),
    ])
    const client = new Client({ name: 'vestry', version: VERSION }, { capabilities: { roots: {} } })
    const session = new Session(deps, client)
    client.setRequestHandler(types.ListRootsRequestSchema, () => ({ roots: [] }))
    for (const schema of [
      types.ToolListChangedNotificationSchema,
      types.ResourceListChangedNotificationSchema,
    ])
      client.setNotificationHandler(schema, () => session.#refresh.trigger())
    try {
      await untilAborted(signal, session.#begin(signal))
      session.#open = true
      return session
    } catch (error) {
      const reason: unknown = signal.aborted
        ? signal.reason
        : meaningOf(error, deps, deps.wire.failure)
      // One that did not come up is not waited for when it is ended.
      deps.wire.fail(reason instanceof VestryError ? reason : session.#broken('was given up'))
      await session[Symbol.asyncDispose]()
      throw reason
    }
  }

  get tools(): readonly LiveTool[] {
    return this.#tools
  }

  get resources(): readonly LiveResource[] {
    return this.#resources
  }

  tool(name: string): LiveTool | undefined {
    return this.#byName.get(name)
  }

  /** Calls under way. */
  get inFlight(): number {
    return this.#slots.used
  }

  get protocolVersion(): string | undefined {
    return this.#version
  }

  get serverInfo(): Json | undefined {
    const info: Json | undefined = this.#client.getServerVersion()
    return info === undefined || JSON.stringify(info).length > MAX_INFO_CHARS ? undefined : info
  }

  /** @throws VestryError MCP_NOT_CONNECTED, MCP_PROTOCOL_ERROR, MCP_TIMEOUT; the reason of `signal`. */
  async prompts(signal: AbortSignal): Promise<readonly unknown[]> {
    if (this.#client.getServerCapabilities()?.prompts === undefined) return []
    using _slot = await this.#slots.take(signal, this.#deps.timeoutMs)
    return await readPages(
      (cursor) => this.#request('prompts/list', at(cursor), { signal }),
      'prompts',
    )
  }

  /** As {@link prompts}. */
  async read(uri: string, signal: AbortSignal): Promise<readonly unknown[]> {
    using _slot = await this.#slots.take(signal, this.#deps.timeoutMs)
    const { contents } = await this.#request('resources/read', { uri }, { signal })
    if (Array.isArray(contents)) return contents as unknown[]
    throw this.#broken('answered without contents')
  }

  /** @throws VestryError as {@link McpHub.call}, and TOOL_NOT_VERIFIED for another definition than the expected one. */
  async call(name: string, given: Json, options: CallOptions): Promise<ToolResult> {
    const { signal, timeoutMs } = options
    const untilMs = this.#deps.now() + timeoutMs
    using _slot = await this.#slots.take(signal, timeoutMs)
    try {
      return await this.#send(name, given, options, untilMs)
    } catch (error) {
      if (!(error instanceof SessionRenewed)) throw error
      // Whoever forgot the session may have come back as another.
      return await this.#send(name, given, options, untilMs)
    }
  }

  /** Of the definition that the server has now. @throws SessionRenewed: nothing has reached the tool. */
  async #send(
    name: string,
    given: Json,
    { signal, timeoutMs, meta, expected }: CallOptions,
    untilMs: number,
  ): Promise<ToolResult> {
    // What the server has announced to be different is looked at before it is used.
    await withinTime(this.#refresh.settled(), signal, untilMs - this.#deps.now(), () =>
      this.#late(timeoutMs),
    )
    const tool = this.#byName.get(name)
    if (tool === undefined)
      throw new VestryError(
        'MCP_TOOL_NOT_FOUND',
        `Server "${this.#deps.server}" has no tool "${name}"`,
      )
    if (expected !== undefined && expected !== tool)
      throw new VestryError(
        'TOOL_NOT_VERIFIED',
        `Server "${tool.server}" changed "${name}" while the call was being decided`,
      )
    checkArguments(tool, given)
    const params = { name, arguments: given, ...(meta !== undefined && { _meta: meta }) }
    const leftMs = Math.max(1, Math.ceil(untilMs - this.#deps.now()))
    const limits = { signal, timeoutMs: leftMs, statedMs: timeoutMs }
    return resultOf(this.#deps.server, await this.#request('tools/call', params, limits))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false
    this.#ended ??= new VestryError(
      'MCP_NOT_CONNECTED',
      `Server "${this.#deps.server}" was disconnected`,
    )
    this.#refresh[Symbol.dispose]()
    await this.#client.close().catch(() => undefined)
    await this.#deps.wire.close().catch(() => undefined)
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { wire, scrubber, now, timeoutMs } = this.#deps
    const gate = new Gate({ wire, scrubber, now })
    this.#client.onclose = () => this.#onClose()
    const negotiated = gate.setProtocolVersion.bind(gate)
    gate.setProtocolVersion = (version) => {
      this.#version = version
      negotiated(version)
    }
    await this.#client.connect(gate, { signal, timeout: timeoutMs })
    await this.#list(signal)
  }

  /** Everything again: what only one of the lists is told to have changed may have changed in both. */
  async #list(signal: AbortSignal): Promise<void> {
    const { server, note } = this.#deps
    const offers = this.#client.getServerCapabilities() ?? {}
    this.#listedChars = 0
    const tools = offers.tools === undefined ? [] : await this.#pages('tools/list', 'tools', signal)
    const listed = toolsOf(server, tools, this.#tools)
    const resources =
      offers.resources === undefined ? [] : await this.#resourceLists(server, signal)
    for (const problem of listed.refused.slice(0, MAX_PROBLEMS)) note(`left out: ${problem}`)
    this.#tools = listed.items
    this.#byName = new Map(listed.items.map((tool) => [tool.name, tool]))
    this.#resources = resources
    this.#deps.onTools(listed.items)
  }

  async #resourceLists(server: string, signal: AbortSignal): Promise<LiveResource[]> {
    const plain = await this.#pages('resources/list', 'resources', signal)
    // Many servers with resources know no templates.
    const templates = await this.#pages(
      'resources/templates/list',
      'resourceTemplates',
      signal,
    ).catch((error: unknown) => {
      if (isMissingMethod(error)) return []
      throw error
    })
    return [
      ...resourcesOf(server, plain, false).items,
      ...resourcesOf(server, templates, true).items,
    ]
  }

  #pages(method: string, member: string, signal: AbortSignal): Promise<unknown[]> {
    return readPages(
      (cursor) => this.#request(method, at(cursor), { signal }),
      member,
      (chars) => {
        this.#listedChars += chars
      },
    )
  }

  async #request(
    method: string,
    params: Json,
    {
      signal,
      timeoutMs = this.#deps.timeoutMs,
      statedMs = timeoutMs,
    }: { signal: AbortSignal; timeoutMs?: number; statedMs?: number },
  ): Promise<Json> {
    if (this.#ended !== undefined) throw this.#ended
    signal.throwIfAborted()
    // The library never lets go of the signal it is given.
    const own = new AbortController()
    const abort = () => own.abort(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      const reply = await this.#client.request({ method, params }, AS_IT_IS, {
        timeout: timeoutMs,
        signal: own.signal,
      })
      if (typeof reply === 'object' && reply !== null) return reply as Json
      throw this.#broken('answered with what is no object')
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (error instanceof SessionRenewed) throw error
      const said = { server: this.#deps.server, timeoutMs: statedMs }
      throw meaningOf(error, said, this.#ended ?? this.#deps.wire.failure)
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  #lost(error: unknown): void {
    const reason = error instanceof VestryError ? error.message : 'failed'
    this.#deps.wire.fail(
      new VestryError('MCP_PROTOCOL_ERROR', `its changed lists cannot be read: ${reason}`),
    )
  }

  #onClose(): void {
    const wasOpen = this.#open
    this.#open = false
    this.#refresh[Symbol.dispose]()
    const { server, wire, onEnd } = this.#deps
    if (this.#ended !== undefined) return
    const reason = wire.failure?.message ?? 'the connection was closed'
    this.#ended = new VestryError('MCP_PROTOCOL_ERROR', `Server "${server}" ${reason}`)
    if (wasOpen) onEnd(wire.failure ?? this.#ended)
  }

  #late(timeoutMs: number): VestryError {
    return new VestryError(
      'MCP_TIMEOUT',
      `Server "${this.#deps.server}" did not answer within ${timeoutMs} ms`,
    )
  }

  #broken(what: string): VestryError {
    return new VestryError('MCP_PROTOCOL_ERROR', `Server "${this.#deps.server}" ${what}`)
  }
}

const MAX_PROBLEMS = 20

function at(cursor: string | undefined): Json {
  return cursor === undefined ? {} : { cursor }
}

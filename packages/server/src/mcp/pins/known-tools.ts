/**
 * Every tool that MCP servers list, bound to the definition it was first seen with. One that changes is not the same
 * tool any more: it is refused, told of, and brought to review again (runtime contract §9.6).
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import { Buckets } from '../../limits/bucket.ts'
import { type ToolChange, toolChanges } from '../../review/diff.ts'
import { digestOf } from '../../review/normalise.ts'
import type { ReviewedTools, Verdict } from '../../review/reviewed-tools.ts'
import type { ToolDocument } from '../../review/tool-document.ts'
import type { LiveTool, McpHub } from '../hub.ts'
import { liveDocument } from '../live-document.ts'
import { carriedSignature } from './carried-signature.ts'
import { shadowed } from './shadowing.ts'
import { type Standing, standingOf, unbound, unreadable } from './standing.ts'
import { pinId, pinnedDocument, type ToolPin, type ToolPinStore } from './tool-pin-store.ts'

export interface KnownToolsDeps {
  readonly pins: Pick<ToolPinStore, 'list' | 'bind' | 'rebind' | 'report'>
  readonly reviewed: Pick<ReviewedTools, 'verdict' | 'reopen'>
  readonly hub: Pick<McpHub, 'tools'>
  /** Of the server's configuration; null also for a server that is gone. */
  readonly publicKeyUrl: (server: string) => string | null
  readonly allowUnreviewed: boolean
  readonly audit: Pick<AuditLog, 'append'>
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
  readonly bounds?: Bounds
}

/** Of each server. One that lists other tools each time would fill the disk and the review. */
export interface Bounds {
  /** Tools that are bound, whenever they were listed. */
  readonly bound: number
  /** Changes brought to review at once; later one a minute. What is over waits, and is refused all the same. */
  readonly told: number
}

interface Kept {
  readonly epoch: number
  readonly keyUrl: string | null
  /** A provider can take its key back. */
  readonly untilMs: number
  readonly standing: Promise<Standing>
}

const CARRIED_FOR_MS = 60_000
/** Definitions looked at before others get a turn. */
const SLICE = 25
/** What a change is brought to review as. */
const SUBMITTER = 'vestry:mcp'
const MAX_RECORDED = 32
const BOUNDS: Bounds = { bound: 10_000, told: 5_000 }
const TOLD_PER_SECOND = 1 / 60
/** Names that the log is told to be on several servers. */
const WARNED = {
  kind: 'bucket',
  key: 'shadowed',
  scope: 'mcp',
  burst: 100,
  perSecond: 1 / 60,
} as const
const MAX_POINTER = 200
/** Verdicts hang on these. */
const DECIDING = ['tool_signature', 'signing_key', 'key_pin']

export class KnownTools {
  readonly #deps: KnownToolsDeps
  readonly #pins = new Map<string, ToolPin>()
  #kept = new WeakMap<LiveTool, Kept>()
  /** Definitions of which it is being told, so that it is told once. */
  readonly #telling = new Set<string>()
  readonly #bounds: Bounds
  readonly #rates: Buckets
  #shadowed = new Set<string>()
  #epoch = 0
  #loaded = false
  /** Pins were changed, and will be read again. */
  #stale = false
  #turn: Promise<unknown> = Promise.resolve()

  constructor(deps: KnownToolsDeps) {
    this.#deps = deps
    this.#bounds = deps.bounds ?? BOUNDS
    this.#rates = new Buckets({ now: deps.now })
  }

  /** The vault is open; before servers are connected. */
  async open(): Promise<void> {
    await this.#inTurn(() => this.#load())
  }

  /** Sealed: what is known is forgotten. */
  close(): void {
    this.#loaded = false
    this.#pins.clear()
    this.#forget()
  }

  /** What was changed, here or on another node; after review was told. */
  onChange(tables: readonly string[]): void {
    if (!this.#loaded) return
    if (tables.some((table) => DECIDING.includes(table))) this.#forget()
    if (!tables.includes('mcp_tool_pin') || this.#stale) return
    this.#stale = true
    this.#inTurn(async () => {
      if (this.#stale && this.#loaded) await this.#load()
    }).catch((error: unknown) => this.#warn(error))
  }

  /** A listing came in. */
  listed(server: string, tools: readonly LiveTool[]): void {
    this.#look(tools).catch((error: unknown) => this.#warn(error, server))
    this.#tellShadowed()
  }

  /** How a tool stands now. @throws VestryError STORE_UNAVAILABLE, STORE_CORRUPT, VAULT_LOCKED */
  standing(tool: LiveTool): Promise<Standing> {
    const keyUrl = this.#deps.publicKeyUrl(tool.server)
    const kept = this.#kept.get(tool)
    const isFresh =
      kept?.epoch === this.#epoch && kept.keyUrl === keyUrl && this.#deps.now() < kept.untilMs
    if (kept !== undefined && isFresh) return kept.standing
    const standing = this.#assess(tool, keyUrl)
    const untilMs =
      carriedSignature(tool) === undefined ? Infinity : this.#deps.now() + CARRIED_FOR_MS
    const mine = { epoch: this.#epoch, keyUrl, untilMs, standing }
    this.#kept.set(tool, mine)
    // What failed may work the next time.
    standing.catch(() => {
      if (this.#kept.get(tool) === mine) this.#kept.delete(tool)
    })
    return standing
  }

  /**
   * An operator's word: these definitions are the ones from now on. Review is not replaced by it.
   *
   * @returns Their digests.
   */
  async accept(
    tools: readonly LiveTool[],
  ): Promise<{ digests: Record<string, string>; generation: number }> {
    const documents = tools.map((tool) => liveDocument(tool, this.#deps.publicKeyUrl(tool.server)))
    const { value, generation } = await this.#inTurn(async () => {
      const changed = await this.#deps.pins.rebind(documents)
      for (const pin of changed.value) this.#keep(pin)
      return changed
    })
    return { digests: Object.fromEntries(value.map((pin) => [pin.tool, pin.digest])), generation }
  }

  async #look(tools: readonly LiveTool[]): Promise<void> {
    await this.#bind(tools)
    for (const [at, tool] of tools.entries()) {
      if (at % SLICE === SLICE - 1) await nextTurn()
      await this.standing(tool)
    }
  }

  async #assess(tool: LiveTool, keyUrl: string | null): Promise<Standing> {
    const document = liveDocument(tool, keyUrl)
    let digest: string
    try {
      digest = digestOf(document)
    } catch (error) {
      return unreadable(asVestryError(error).message)
    }
    const pin = await this.#pinOf(tool)
    const verdict = await this.#deps.reviewed.verdict(document, carriedSignature(tool))
    if (pin === undefined) return unbound(verdict, this.#bounds.bound)
    const changes = pin.digest === digest ? [] : toolChanges(pinnedDocument(pin), document)
    // Where the key is found is the operator's to say, not the server's.
    const drift = changes.filter(({ pointer }) => !pointer.startsWith('/provider'))
    const standing = standingOf(tool, {
      verdict,
      drift: drift.length === 0 ? undefined : drift.map(({ pointer }) => pointer),
      allowUnreviewed: this.#deps.allowUnreviewed,
    })
    this.#follow({ pin, document, verdict, changes, hasDrift: drift.length > 0 })
    return standing
  }

  /** What comes of it, behind whoever asked. */
  #follow(found: Found): void {
    const { pin, verdict, hasDrift } = found
    const moved = pin.digest !== verdict.hash && (verdict.verified || !hasDrift)
    const isOther = !verdict.verified && (hasDrift || REOPENS.has(verdict.reason))
    const id = pinId(pin.server, pin.tool)
    const key = `${moved ? 'move' : 'tell'} ${id} ${verdict.hash}`
    if (!moved && !(isOther && pin.seenDigest !== verdict.hash)) return
    if (this.#telling.has(key)) return
    if (!moved && !this.#mayTell(pin.server)) return
    this.#telling.add(key)
    this.#inTurn(async () => {
      // Accepted, or signed, before it was this one's turn.
      if (this.#pins.get(id)?.digest !== pin.digest) return
      await (moved ? this.#move(found) : this.#tell(found))
    })
      .catch((error: unknown) => this.#warn(error, pin.server))
      .finally(() => this.#telling.delete(key))
  }

  #mayTell(server: string): boolean {
    return (
      this.#rates.take({
        kind: 'bucket',
        key: `told ${server}`,
        scope: 'mcp',
        burst: this.#bounds.told,
        perSecond: TOLD_PER_SECOND,
      }) === 0
    )
  }

  /** Signed as it is now: that is what later listings are compared with. */
  async #move({ pin, document, verdict }: Found): Promise<void> {
    const { value, generation } = await this.#deps.pins.rebind([document])
    for (const bound of value) this.#keep(bound)
    const why = verdict.verified ? 'signed' : 'configured'
    await this.#record('mcp.tool_pinned', pin, {
      digest: verdict.hash,
      before: pin.digest,
      why,
      generation,
    })
  }

  async #tell({ pin, document, verdict, changes }: Found): Promise<void> {
    const { reviewed, pins, warn } = this.#deps
    const reason = verdict.verified ? 'signed' : verdict.reason
    const isSame = changes.length === 0
    const reviewId = await reviewed.reopen({
      document,
      before: isSame ? undefined : pinnedDocument(pin),
      submittedBy: SUBMITTER,
      reason: isSame ? `The tool is not the one that was signed: ${reason}` : 'The tool changed',
    })
    const told = { seenDigest: verdict.hash, reviewId }
    const { value, generation } = await pins.report(pin, told)
    if (value === undefined) return
    this.#keep(value)
    await this.#record('mcp.tool_changed', pin, {
      digest: verdict.hash,
      before: pin.digest,
      reason,
      changes: changes.slice(0, MAX_RECORDED).map(shortChange),
      changes_total: changes.length,
      review_id: reviewId,
      generation,
    })
    warn(
      `MCP server "${pin.server}" lists another "${pin.tool}" than before; calls are refused until review ${reviewId} is decided`,
    )
  }

  async #bind(tools: readonly LiveTool[]): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#loaded) await this.#load()
      const missing = tools.filter(({ server, name }) => !this.#pins.has(pinId(server, name)))
      const bound = new Map<string, number>()
      for (const { server } of this.#pins.values()) bound.set(server, (bound.get(server) ?? 0) + 1)
      const readable: ToolDocument[] = []
      for (const [at, tool] of missing.entries()) {
        if (at % SLICE === SLICE - 1) await nextTurn()
        const count = bound.get(tool.server) ?? 0
        if (count >= this.#bounds.bound) continue
        const document = liveDocument(tool, this.#deps.publicKeyUrl(tool.server))
        if (!isReadable(document)) continue
        bound.set(tool.server, count + 1)
        readable.push(document)
      }
      if (readable.length === 0) return
      const { value, generation } = await this.#deps.pins.bind(readable)
      for (const pin of value) this.#keep(pin)
      const [first] = value
      if (first === undefined) return
      await this.#record('mcp.tools_seen', first, {
        tool: null,
        digests: Object.fromEntries(value.map(({ tool, digest }) => [tool, digest])),
        generation,
      })
    })
  }

  /** @returns undefined where the server has too many. */
  async #pinOf(tool: LiveTool): Promise<ToolPin | undefined> {
    const id = pinId(tool.server, tool.name)
    if (!this.#pins.has(id)) await this.#bind([tool])
    const pin = this.#pins.get(id)
    if (pin === undefined && !this.#loaded) throw new VestryError('STORE_UNAVAILABLE')
    return pin
  }

  #keep(pin: ToolPin): void {
    if (!this.#loaded) return
    this.#pins.set(pinId(pin.server, pin.tool), pin)
    this.#forget()
  }

  async #load(): Promise<void> {
    this.#stale = false
    const pins = await this.#deps.pins.list()
    this.#pins.clear()
    for (const pin of pins) this.#pins.set(pinId(pin.server, pin.tool), pin)
    this.#loaded = true
    this.#forget()
  }

  #forget(): void {
    this.#epoch += 1
    this.#kept = new WeakMap()
  }

  #tellShadowed(): void {
    const found = shadowed(this.#deps.hub.tools())
    for (const { name, servers } of found) {
      if (this.#shadowed.has(name)) continue
      if (this.#rates.take(WARNED) > 0) break
      this.#deps.warn(
        `Several MCP servers list a tool "${name}": ${servers.join(', ')}; its bare name means none of them`,
      )
    }
    this.#shadowed = new Set(found.map(({ name }) => name))
  }

  async #record(
    action: AuditEntry['action'],
    { server, tool }: Pick<ToolPin, 'server' | 'tool'>,
    data: Record<string, unknown>,
  ): Promise<void> {
    const what = action === 'mcp.tools_seen' ? `new tools of ${server}` : `${server}/${tool}`
    await this.#deps.audit.append(
      {
        action,
        phase: 'single',
        detail: `${action} ${what}`,
        success: true,
        actor: 'system',
        source: 'mcp',
        data: { server, tool, ...data },
      },
      'synced',
    )
  }

  /** One at a time, in the order in which it was asked for. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  #warn(error: unknown, server?: string): void {
    const of = server === undefined ? '' : ` of MCP server "${server}"`
    this.#deps.warn(`tools${of} could not be compared: ${asVestryError(error).message}`)
  }
}

interface Found {
  readonly pin: ToolPin
  readonly document: ToolDocument
  readonly verdict: Verdict
  readonly changes: readonly ToolChange[]
  /** More changed than what operators configure. */
  readonly hasDrift: boolean
}

/** It was signed once as something else, so somebody should look again. */
const REOPENS: ReadonlySet<string> = new Set([
  'definition_differs',
  'schema_has_unreviewed_keywords',
])

/** Places and kinds; what stands there is for the review. */
function shortChange({ pointer, kind }: ToolChange): Record<string, string> {
  return { pointer: pointer.slice(0, MAX_POINTER).toWellFormed(), kind }
}

function isReadable(document: ToolDocument): boolean {
  try {
    digestOf(document)
    return true
  } catch {
    return false
  }
}

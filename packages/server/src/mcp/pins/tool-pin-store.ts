/** What each tool of each MCP server looked like when it was first seen, or last accepted. */
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import { digestOfText, documentJson, documentOf } from '../../review/normalise.ts'
import type { ToolDocument } from '../../review/tool-document.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'

export interface ToolPinStoreDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  /** Epoch ms. */
  readonly now: () => number
}

export interface ToolPin {
  readonly server: string
  readonly tool: string
  /** `sha256:…` of the definition that is bound. */
  readonly digest: string
  /** That definition, canonical. */
  readonly text: string
  readonly firstSeenAtMs: number
  /** When another definition was last reported, which one, and the review that was asked for. */
  readonly changedAtMs: number | undefined
  readonly seenDigest: string | undefined
  readonly reviewId: string | undefined
}

export type Reported = Required<Pick<ToolPin, 'seenDigest' | 'reviewId'>>

type Row = Tables['mcp_tool_pin']

export class ToolPinStore {
  readonly #deps: ToolPinStoreDeps

  constructor(deps: ToolPinStoreDeps) {
    this.#deps = deps
  }

  /** @throws VestryError STORE_CORRUPT */
  async list(): Promise<ToolPin[]> {
    const rows = await this.#deps.store.db
      .selectFrom('mcp_tool_pin')
      .selectAll()
      .orderBy('id')
      .execute()
    return rows.map((row) => this.#open(row))
  }

  /**
   * Binds tools that are met for the first time.
   *
   * @returns What is bound now: another definition than the given one where another node was quicker.
   */
  bind(documents: readonly ToolDocument[]): Promise<Changed<ToolPin[]>> {
    const pins = documents.map((document) => pinOf(document, this.#deps.now()))
    const servers = [...new Set(pins.map(({ server }) => server))]
    return this.#deps.store.change(async (trx) => {
      const rows = await trx
        .selectFrom('mcp_tool_pin')
        .selectAll()
        .where('server', 'in', servers)
        .execute()
      const known = new Map(rows.map((row) => [row.id, row]))
      const bound: ToolPin[] = []
      for (const pin of pins) {
        const row = known.get(pinId(pin.server, pin.tool))
        if (row === undefined)
          await trx.insertInto('mcp_tool_pin').values(this.#seal(pin)).execute()
        bound.push(row === undefined ? pin : this.#open(row))
      }
      return bound
    })
  }

  /** From now on this is the definition: it was signed, or an operator accepted it. */
  rebind(documents: readonly ToolDocument[]): Promise<Changed<ToolPin[]>> {
    const nowMs = this.#deps.now()
    return this.#deps.store.change(async (trx) => {
      const bound = documents.map((document) => pinOf(document, nowMs))
      for (const pin of bound) {
        const row = this.#seal(pin)
        await trx
          .insertInto('mcp_tool_pin')
          .values(row)
          .onConflict((clash) => clash.column('id').doUpdateSet(row))
          .execute()
      }
      return bound
    })
  }

  /**
   * Another definition was seen and told of.
   *
   * @returns undefined where another one is bound by now.
   */
  report(pin: ToolPin, { seenDigest, reviewId }: Reported): Promise<Changed<ToolPin | undefined>> {
    const changedAtMs = this.#deps.now()
    return this.#deps.store.change(async (trx) => {
      const told = { ...pin, changedAtMs, seenDigest, reviewId }
      const row = this.#seal(told)
      const { numUpdatedRows } = await trx
        .updateTable('mcp_tool_pin')
        .set(row)
        .where('id', '=', row.id)
        .where('digest', '=', pin.digest)
        .executeTakeFirst()
      return numUpdatedRows === 0n ? undefined : told
    })
  }

  #seal(pin: ToolPin): Row {
    const row = {
      id: pinId(pin.server, pin.tool),
      server: pin.server,
      tool: pin.tool,
      digest: pin.digest,
      definition_json: pin.text,
      first_seen_at: pin.firstSeenAtMs,
      changed_at: pin.changedAtMs ?? null,
      seen_digest: pin.seenDigest ?? null,
      review_id: pin.reviewId ?? null,
    }
    return { ...row, mac: this.#deps.guard.mac('mcp_tool_pin', row.id, row) }
  }

  #open({ mac, ...row }: Row): ToolPin {
    this.#deps.guard.check('mcp_tool_pin', row.id, row, mac)
    return {
      server: row.server,
      tool: row.tool,
      digest: row.digest,
      text: row.definition_json,
      firstSeenAtMs: row.first_seen_at,
      changedAtMs: row.changed_at ?? undefined,
      seenDigest: row.seen_digest ?? undefined,
      reviewId: row.review_id ?? undefined,
    }
  }
}

export function pinnedDocument({ text }: ToolPin): ToolDocument {
  return documentOf(text)
}

/** Names of servers hold no slash, so what stands before the first one is the server. */
export function pinId(server: string, tool: string): string {
  return `${server}/${tool}`
}

function pinOf(document: ToolDocument, nowMs: number): ToolPin {
  const text = documentJson(document)
  return {
    server: document.provider.name,
    tool: document.name,
    digest: digestOfText(text),
    text,
    firstSeenAtMs: nowMs,
    changedAtMs: undefined,
    seenDigest: undefined,
    reviewId: undefined,
  }
}

/** Tools that operators added, on disk. No rules here: `tool-file.ts` reads and checks, this file remembers. */
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { httpTool, toolDefinition } from './http-tool.ts'
import type { JsonObject, Tool } from './tool.ts'
import { acceptTool, type ToolFile } from './tool-file.ts'

export interface ToolStoreDeps {
  store: Pick<Store, 'db' | 'change'>
  guard: RowGuard
  /** Epoch ms. */
  now: () => number
  /** Names that operators cannot have: of built-in and configured tools. */
  taken: (name: string) => boolean
}

export interface StoredTool {
  readonly name: string
  readonly digest: string
  /** As it was understood when it was added, defaults filled in. */
  readonly definition: JsonObject
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
}

export interface LoadedTools {
  readonly tools: readonly Tool[]
  /** Were added under rules that have changed since: they have to be added again. */
  readonly refused: readonly { readonly name: string; readonly problem: string }[]
}

type ToolRow = Tables['tool']

export class ToolStore {
  readonly #deps: ToolStoreDeps

  constructor(deps: ToolStoreDeps) {
    this.#deps = deps
  }

  /**
   * Adds a tool, or replaces the one of that name.
   *
   * @throws VestryError `CONFLICT` for the name of a tool that is not the operators'.
   */
  async add(file: ToolFile): Promise<Changed<StoredTool & { readonly replaced: boolean }>> {
    const { store, guard, now, taken } = this.#deps
    if (taken(file.name)) {
      throw new VestryError('CONFLICT', `"${file.name}" is a built-in or configured tool`, {
        hint: 'Choose another name.',
      })
    }
    const definition = toolDefinition(file)
    const { digest } = httpTool(file, 'operator')
    return store.change(async (trx) => {
      const old = await trx
        .selectFrom('tool')
        .selectAll()
        .where('id', '=', file.name)
        .executeTakeFirst()
      // A change must not sign over a row that somebody else has altered.
      const before = old && openRow(old, guard)
      const tool: StoredTool = {
        name: file.name,
        digest,
        definition,
        createdAt: before?.createdAt ?? now(),
        updatedAt: now(),
      }
      const row = sealRow(tool, guard)
      const insert = trx.insertInto('tool').values(row)
      await insert.onConflict((clash) => clash.column('id').doUpdateSet(row)).execute()
      return { ...tool, replaced: before !== undefined }
    })
  }

  /** @throws VestryError `NOT_FOUND` */
  remove(name: string): Promise<Changed<StoredTool>> {
    const { store, guard } = this.#deps
    return store.change(async (trx) => {
      const row = await trx.selectFrom('tool').selectAll().where('id', '=', name).executeTakeFirst()
      if (row === undefined) {
        throw new VestryError('NOT_FOUND', `No operator has added a tool named "${name}"`, {
          hint: 'List the tools to see their names.',
        })
      }
      const tool = openRow(row, guard)
      await trx.deleteFrom('tool').where('id', '=', name).execute()
      return tool
    })
  }

  /** Sorted by name. @throws VestryError `STORE_CORRUPT` */
  async list(): Promise<StoredTool[]> {
    const rows = await this.#deps.store.db.selectFrom('tool').selectAll().orderBy('id').execute()
    return rows.map((row) => openRow(row, this.#deps.guard))
  }

  /**
   * What the catalogue is given, at start and after each change.
   *
   * @throws VestryError `STORE_CORRUPT` when a row is not the one that was written.
   */
  async load(): Promise<LoadedTools> {
    const tools: Tool[] = []
    const refused: { name: string; problem: string }[] = []
    for (const { name, definition, digest } of await this.list()) {
      try {
        const tool = httpTool(acceptTool(definition, name), 'operator')
        // Policies hold on to digests: one that changed by itself must not pass for the tool they know.
        if (tool.digest === digest) tools.push(tool)
        else refused.push({ name, problem: 'is understood differently now' })
      } catch (error) {
        if (!(error instanceof VestryError)) throw error
        refused.push({ name, problem: error.message })
      }
    }
    return { tools, refused }
  }
}

function sealRow(tool: StoredTool, guard: RowGuard): ToolRow {
  const row = {
    id: tool.name,
    definition_json: canonicalJson(tool.definition),
    digest: tool.digest,
    created_at: tool.createdAt,
    updated_at: tool.updatedAt,
  }
  return { ...row, mac: guard.mac('tool', tool.name, row) }
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
function openRow({ mac, ...row }: ToolRow, guard: RowGuard): StoredTool {
  guard.check('tool', row.id, row, mac)
  return {
    name: row.id,
    digest: row.digest,
    definition: JSON.parse(row.definition_json) as JsonObject, // we wrote it, says the MAC
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

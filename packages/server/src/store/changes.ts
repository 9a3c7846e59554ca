/**
 * What a change touched, and who wants to know. A change is seen by its statements: tables written by the
 * query builder are named; a raw statement may touch anything and counts as all of them.
 */
import {
  DeleteQueryNode,
  InsertQueryNode,
  type KyselyPlugin,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type QueryResult,
  type RootOperationNode,
  SelectQueryNode,
  TableNode,
  type UnknownRow,
  UpdateQueryNode,
} from 'kysely'
import { TABLE_NAMES } from './schema.ts'

/** Put on the transaction of one change; `names()` afterwards. */
export class TouchedTables implements KyselyPlugin {
  readonly #names = new Set<string>()

  names(): string[] {
    return [...this.#names].sort()
  }

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    for (const name of written(node)) this.#names.add(name)
    return node
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return result
  }
}

function written(node: RootOperationNode): readonly string[] {
  if ('with' in node && node.with !== undefined) return TABLE_NAMES // may hold writes of its own
  if (SelectQueryNode.is(node)) return []
  const target = InsertQueryNode.is(node)
    ? node.into
    : UpdateQueryNode.is(node)
      ? node.table
      : DeleteQueryNode.is(node)
        ? node.from.froms[0]
        : undefined
  if (target === undefined || !TableNode.is(target)) return TABLE_NAMES
  return [target.table.identifier.name]
}

export type ChangeListener = (tables: readonly string[]) => void

/** The listeners of one store. One that throws is reported and does not keep the others from hearing. */
export class ChangeListeners {
  readonly #listeners = new Set<ChangeListener>()
  readonly #warn: (message: string, cause: unknown) => void

  constructor(warn: (message: string, cause: unknown) => void) {
    this.#warn = warn
  }

  add(listener: ChangeListener): () => void {
    // A wrapper of its own, so that adding one function twice takes removing it twice.
    const own: ChangeListener = (tables) => listener(tables)
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  emit(tables: readonly string[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(tables)
      } catch (cause) {
        this.#warn('A listener for store changes failed', cause)
      }
    }
  }

  clear(): void {
    this.#listeners.clear()
  }
}

/**
 * The names under which tools are shown to MCP clients: `<server>__<tool>`, `<tool>__<action>`. Two tools never share
 * one, and a name says the same tool to everybody. Pure.
 */
import { hash } from 'node:crypto'

export interface Named {
  /** Tells tools apart: `mcp/notes:append`, `serpapi:search`. */
  readonly id: string
  /** As it would best be called. */
  readonly wanted: string
}

/** What clients and model providers take. */
const MAX_NAME = 64
const PLAIN = /^[A-Za-z0-9_-]+$/
const HASH_CHARS = 16

/**
 * @param all Every tool there is, whoever may call it: a name must not depend on who asks.
 * @returns The name of each id. Tools that cannot be told apart by one have none.
 */
export function exposedNames(all: readonly Named[]): ReadonlyMap<string, string> {
  const wanting = new Map<string, number>()
  for (const { wanted } of all) wanting.set(wanted, (wanting.get(wanted) ?? 0) + 1)
  const marked = new Map<string, number>()
  const plain: Named[] = []
  const names = new Map<string, string>()
  for (const named of all) {
    const { id, wanted } = named
    if (wanting.get(wanted) === 1 && wanted.length <= MAX_NAME && PLAIN.test(wanted)) {
      plain.push(named)
      continue
    }
    const name = markedName(named)
    names.set(id, name)
    marked.set(name, (marked.get(name) ?? 0) + 1)
  }
  for (const [id, name] of names) if (marked.get(name) !== 1) names.delete(id)
  for (const named of plain) {
    const { id, wanted } = named
    // A tool that took the marked name of another gets a mark of its own.
    if (!marked.has(wanted)) {
      names.set(id, wanted)
      continue
    }
    const name = markedName(named)
    if (!marked.has(name) && !wanting.has(name)) names.set(id, name)
  }
  return names
}

function markedName({ id, wanted }: Named): string {
  const tail = `_${hash('sha256', id).slice(0, HASH_CHARS)}`
  return wanted.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, MAX_NAME - tail.length) + tail
}

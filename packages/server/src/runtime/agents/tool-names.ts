/**
 * From the names in an agent's definition to tools, and to the names under which a model calls them. A name that
 * means two things means neither.
 */
import { hash } from 'node:crypto'
import { MAX_TOOLS } from './definition.ts'
import type { SourceTool } from './tool-source.ts'

export interface UnresolvedTool {
  readonly name: string
  readonly why: 'unknown' | 'ambiguous' | 'too_many' | 'refused'
}

export interface ResolvedTools {
  /** By the name that the model is given. */
  readonly tools: ReadonlyMap<string, SourceTool>
  readonly unresolved: readonly UnresolvedTool[]
}

export function resolveTools(
  listed: readonly string[],
  sources: readonly SourceTool[],
): ResolvedTools {
  const tools = new Map<string, SourceTool>()
  const given = new Set<string>()
  const unresolved: UnresolvedTool[] = []
  for (const name of listed) {
    const found = meaningOf(name, sources)
    if (typeof found === 'string') {
      unresolved.push({ name, why: found })
      continue
    }
    for (const tool of found) {
      if (given.has(tool.id)) continue
      if (tools.size === MAX_TOOLS) {
        unresolved.push({ name: tool.id, why: 'too_many' })
        continue
      }
      given.add(tool.id)
      const [standard = tool.id] = tool.names
      const wanted = found.length === 1 ? [name, standard] : [standard]
      tools.set(freeName(wanted, tool.id, tools), tool)
    }
  }
  return { tools, unresolved }
}

/**
 * What a model is told of: without the tools that review refuses, whose description could be anybody's words to it.
 * They keep their names from others all the same.
 */
export async function offeredTools(
  listed: readonly string[],
  sources: readonly SourceTool[],
): Promise<ResolvedTools> {
  const { tools, unresolved } = resolveTools(listed, sources)
  const offered = new Map<string, SourceTool>()
  const refused: UnresolvedTool[] = []
  for (const [name, tool] of tools) {
    if ((await tool.isRefused?.()) === true) refused.push({ name: tool.id, why: 'refused' })
    else offered.set(name, tool)
  }
  return { tools: offered, unresolved: [...unresolved, ...refused] }
}

/** Between a server and its tool. A name that has one is the name of both, never of a tool alone. */
const SEPARATOR = /__|[/:]/

function meaningOf(
  name: string,
  sources: readonly SourceTool[],
): readonly SourceTool[] | 'unknown' | 'ambiguous' {
  const exact = sources.filter(({ id, names }) => id === name || names.includes(name))
  if (exact.length > 0) return exact.length === 1 ? exact : 'ambiguous'
  const bare = SEPARATOR.test(name) ? [] : sources.filter((tool) => tool.bare === name)
  const group = sources.filter((tool) => tool.group === name)
  if (bare.length + group.length === 0) return 'unknown'
  if (bare.length === 0) return group
  return bare.length === 1 && group.length === 0 ? bare : 'ambiguous'
}

/** What every provider takes. */
const MAX_NAME = 64
const SENDABLE = /^[A-Za-z0-9_-]{1,64}$/
const HASH_CHARS = 8

/** The first that can be sent and means nothing else yet; else one that is made unlike all others. */
function freeName(
  wanted: readonly string[],
  id: string,
  taken: ReadonlyMap<string, SourceTool>,
): string {
  const free = wanted.find((name) => SENDABLE.test(name) && !taken.has(name))
  if (free !== undefined) return free
  const tail = `_${hash('sha256', id, 'hex').slice(0, HASH_CHARS)}`
  const plain = (wanted.at(-1) ?? id).replaceAll(/[^A-Za-z0-9_-]/g, '_')
  return plain.slice(0, MAX_NAME - tail.length) + tail
}

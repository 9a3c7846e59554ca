/** What becomes of an agent's memories when they are tidied: promoted, merged, dropped. */
import { setImmediate as breath } from 'node:timers/promises'
import { MemoryLevel } from '@vestry/contract/runtime'
import type { StoredNode } from './memory-store.ts'
import {
  CAPACITY,
  isExpired,
  type MemoryNode,
  PROMOTED_ABOVE,
  SAME_COSINE,
  surplus,
} from './node.ts'

export interface Tidying {
  readonly promoted: readonly MemoryNode[]
  readonly kept: readonly MemoryNode[]
  readonly gone: ReadonlyMap<string, string | undefined>
  /** Of those that are gone, which were merged into another one. */
  readonly merged: number
}

/** Comparisons between two breaths: others have their turn. */
const STEP = 20_000

export async function tidying(stored: readonly StoredNode[], nowMs: number): Promise<Tidying> {
  const gone = new Map<string, string | undefined>()
  const alive: StoredNode[] = []
  for (const one of stored) {
    if (isExpired(one.node, nowMs)) gone.set(one.node.id, undefined)
    else alive.push(one)
  }
  const isPromoted = ({ level, importance }: MemoryNode) =>
    level === 'short_term' && importance > PROMOTED_ABOVE
  const promoted = alive.map(({ node }) => node).filter(isPromoted)
  const levelled = alive.map(
    (one): StoredNode =>
      isPromoted(one.node) ? { ...one, node: { ...one.node, level: 'long_term' } } : one,
  )
  const kept = await merged(levelled, gone)
  const mergedCount = [...gone.values()].filter((heir) => heir !== undefined).length
  for (const level of Object.values(MemoryLevel)) {
    const ofLevel = kept.nodes.filter((node) => node.level === level)
    for (const { id } of surplus(ofLevel, CAPACITY[level])) gone.set(id, undefined)
  }
  return {
    promoted: promoted.filter(({ id }) => !gone.has(id)),
    kept: kept.changed
      .map((id) => kept.byId.get(id) as MemoryNode)
      .filter(({ id }) => !gone.has(id)),
    gone: withHeirs(gone),
    merged: mergedCount,
  }
}

/** Newest first, so that the newest of several is kept. */
async function merged(stored: readonly StoredNode[], gone: Map<string, string | undefined>) {
  const byId = new Map<string, MemoryNode>()
  const changed = new Set<string>()
  const groups = new Map<string, StoredNode[]>()
  let compared = 0
  for (const one of stored) {
    const key = groupOf(one.node)
    const others = groups.get(key) ?? []
    groups.set(key, others)
    const twin = others.find((other) => isSame(one, other))
    compared += others.length
    if (twin === undefined) {
      others.push(one)
      byId.set(one.node.id, one.node)
    } else {
      const heir = byId.get(twin.node.id) ?? twin.node
      byId.set(heir.id, {
        ...heir,
        importance: Math.max(heir.importance, one.node.importance),
        accessCount: heir.accessCount + one.node.accessCount,
      })
      changed.add(heir.id)
      gone.set(one.node.id, heir.id)
    }
    if (compared > STEP) {
      compared = 0
      await breath()
    }
  }
  return { byId, changed: [...changed], nodes: [...byId.values()] }
}

/** Only what is alike in all this can be one: labels of one must not come to be another's. */
function groupOf({ level, type, conversationId, labels }: MemoryNode): string {
  return JSON.stringify([level, type, conversationId ?? null, labels])
}

function isSame(one: StoredNode, other: StoredNode): boolean {
  const { embedded: a } = one
  const { embedded: b } = other
  if (a === undefined || b === undefined || a.embedder !== b.embedder) return false
  return dot(a.vector, b.vector) >= SAME_COSINE
}

export function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0
  for (let at = 0; at < one.length; at += 1) sum += (one[at] as number) * (other[at] as number)
  return sum
}

/** An heir may be gone as well: then nobody has it. */
function withHeirs(gone: ReadonlyMap<string, string | undefined>) {
  return new Map(
    [...gone].map(([id, heir]) => [id, heir !== undefined && gone.has(heir) ? undefined : heir]),
  )
}

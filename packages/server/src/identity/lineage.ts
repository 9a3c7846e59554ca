/**
 * The processes above a peer, for the record: what a child does belongs to the one that started it, and once it is
 * over nobody can tell any more who that was.
 */
import type { Peer } from './caller.ts'
import { type ProcessTable, processTable } from './claims/process-table.ts'

/** Enough for a shell in a shell; above that are sessions and service managers. */
const MAX_HOPS = 6

/** Asked once per connection. */
const known = new WeakMap<Peer, readonly number[]>()

/**
 * Facts for a record of what the peer did: `{ancestors: [parent, its parent, …]}`, or nothing where none is known. A
 * number that belongs to another process by now ends the list.
 */
export function lineageFacts(
  peer: Peer,
  table: Pick<ProcessTable, 'read'> = processTable,
): { ancestors?: readonly number[] } {
  if (peer.pid === undefined) return {}
  let ancestors = known.get(peer)
  if (ancestors === undefined) {
    ancestors = ancestorsOf(peer.pid, table)
    known.set(peer, ancestors)
  }
  return ancestors.length === 0 ? {} : { ancestors }
}

function ancestorsOf(pid: number, table: Pick<ProcessTable, 'read'>): number[] {
  const ancestors: number[] = []
  let below = table.read(pid)
  while (below !== undefined && below.parentPid > 1 && ancestors.length < MAX_HOPS) {
    const above = table.read(below.parentPid)
    // A parent is never younger than its child.
    if (above === undefined || BigInt(above.startTime) > BigInt(below.startTime)) break
    ancestors.push(above.pid)
    below = above
  }
  return ancestors
}

/** Finds the entities a policy names, for example every `HostGlob::"…"` it must be matched with. */
/**
 * @param json A policy, or one expression, in Cedar's JSON form.
 * @param type The exact entity type, e.g. `HostGlob`.
 * @returns The ids, each once, in the order they appear in the JSON (scope first in a policy).
 */
export function entityRefs(json: unknown, type: string): string[] {
  const ids = new Set<string>()
  const visit = (node: unknown, literal: boolean): void => {
    if (typeof node !== 'object' || node === null) return
    const uid = '__entity' in node ? node.__entity : literal ? undefined : node
    if (isPair(uid)) {
      if (uid.type === type) ids.add(uid.id)
      return
    }
    for (const [name, member] of Object.entries(node)) visit(member, literal || name === 'Value')
  }
  visit(json, false)
  return [...ids]
}

/** A scope holds the bare pair; inside a literal the pair is a mere record unless marked. */
function isPair(value: unknown): value is { type: string; id: string } {
  if (typeof value !== 'object' || value === null) return false
  if (!('type' in value && 'id' in value)) return false
  return typeof value.type === 'string' && typeof value.id === 'string'
}

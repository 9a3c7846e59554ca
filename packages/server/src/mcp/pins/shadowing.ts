/** Tools of one name on several servers: whoever calls by name alone may reach the wrong one. Pure. */
import type { LiveTool } from '../hub.ts'

export interface Shadowed {
  readonly name: string
  /** Two or more, sorted. */
  readonly servers: readonly string[]
}

/** Sorted by name. */
export function shadowed(tools: readonly Pick<LiveTool, 'server' | 'name'>[]): Shadowed[] {
  const byName = new Map<string, string[]>()
  for (const { server, name } of tools) {
    const servers = byName.get(name)
    if (servers === undefined) byName.set(name, [server])
    else if (!servers.includes(server)) servers.push(server)
  }
  return [...byName]
    .filter(([, servers]) => servers.length > 1)
    .map(([name, servers]) => ({ name, servers: servers.sort() }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

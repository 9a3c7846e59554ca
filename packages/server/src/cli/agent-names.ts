/** Agents' ids as names, for lists that people read. */
import type { AdminClient } from './admin-client.ts'
import { rowsOf } from './cell.ts'

/** @returns The name of an agent, also of a revoked one; its id where nobody knows it. */
export async function agentNames(admin: AdminClient): Promise<(id: unknown) => string> {
  const agents = rowsOf(await admin.call('admin.agent.list', { revoked: true }), 'agents')
  const names = new Map(agents.map(({ id, name }) => [id, String(name)]))
  return (id) => names.get(id) ?? String(id)
}

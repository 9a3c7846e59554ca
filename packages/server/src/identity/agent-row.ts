/** An agent as a row of the store and back. No rules here: agent.ts decides. */
import { accept } from '@vestry/contract/accept'
import * as z from 'zod'
import type { Tables } from '../store/schema.ts'
import type { Agent } from './agent.ts'
import { AgentKey } from './agent-key.ts'
import type { RowGuard } from './row-guard.ts'

export type AgentRow = Tables['agent']

const Keys = z.array(AgentKey)
const Meta = z.record(z.string(), z.string())

export function sealAgent(agent: Agent, guard: RowGuard): AgentRow {
  const row = {
    id: agent.id,
    name: agent.name,
    display_name: agent.displayName,
    role: agent.role,
    status: agent.status,
    keys_json: JSON.stringify(agent.keys),
    spiffe_id: agent.spiffeId,
    meta_json: JSON.stringify(agent.meta),
    require_sig_v2: agent.requireSigV2 ? 1 : 0,
    created_at: agent.createdAt,
    updated_at: agent.updatedAt,
  }
  return { ...row, mac: guard.mac('agent', agent.id, row) }
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
export function openAgent({ mac, ...row }: AgentRow, guard: RowGuard): Agent {
  guard.check('agent', row.id, row, mac)
  return {
    id: row.id,
    name: row.name,
    displayName: row.display_name,
    role: row.role,
    status: row.status,
    keys: accept(Keys, JSON.parse(row.keys_json), 'STORE_CORRUPT'),
    spiffeId: row.spiffe_id,
    meta: accept(Meta, JSON.parse(row.meta_json), 'STORE_CORRUPT'),
    requireSigV2: row.require_sig_v2 === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

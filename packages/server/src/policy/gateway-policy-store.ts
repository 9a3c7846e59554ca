/**
 * Gateway policies as their endpoints speak of them: documents with an owner, listed, changed and merged.
 * They are rows of the policy table like all others; this file only knows their form.
 */
import { VestryError } from '@vestry/contract/errors'
import { GATEWAY_PREFIX } from './decision.ts'
import { mergeGateway } from './gateway-merge.ts'
import { type GatewayOwner, gatewayRow, readGatewayRow, sameOwner } from './gateway-row.ts'
import {
  acceptGateway,
  GatewayDocument,
  type GatewayPatch,
  type GatewaySpec,
  specHash,
} from './gateway-spec.ts'
import type { NewPolicy } from './policy-file.ts'
import type { PolicyChange, StoredPolicyRow } from './policy-store.ts'

/** One gateway policy; either `agentId` or `role` says whom it binds. */
export interface GatewayRecord {
  /** UUID. */
  id: string
  name: string
  description?: string
  agentId?: string
  role?: string
  spec: GatewaySpec
  /** SHA-256 hex of the canonical JSON of `spec`. */
  specHash: string
  active: boolean
  /** Epoch milliseconds. */
  createdAt: number
  updatedAt: number
}

export interface MergedSpec {
  mergedSpec: GatewaySpec
  /** UUIDs, in the order in which they were merged. */
  sourcePolicies: string[]
}

export interface GatewayStoreDeps {
  /** All rows in order, checked. */
  rows(): Promise<readonly StoredPolicyRow[]>
  /** In one change of the store: what `make` returns for the rows as they are is written or removed. */
  change(
    make: (rows: readonly StoredPolicyRow[]) => { put: readonly NewPolicy[]; remove?: string[] },
  ): Promise<PolicyChange>
  /** Zone of time windows that name none. */
  timezone: string
  uuid: () => string
}

export class GatewayPolicyStore {
  readonly #deps: GatewayStoreDeps

  constructor(deps: GatewayStoreDeps) {
    this.#deps = deps
  }

  /** In the order in which they were made. */
  async list(
    filter: { agentId?: string; role?: string; active?: boolean } = {},
  ): Promise<GatewayRecord[]> {
    const records = (await this.#rows()).map(recordOf)
    return records.filter(
      ({ agentId, role, active }) =>
        (filter.agentId === undefined || agentId === filter.agentId) &&
        (filter.role === undefined || role === filter.role) &&
        (filter.active === undefined || active === filter.active),
    )
  }

  /**
   * @param id UUID.
   * @throws VestryError `NOT_FOUND`
   */
  async get(id: string): Promise<GatewayRecord> {
    return recordOf(rowOf(await this.#rows(), id))
  }

  /**
   * Adds new policies, all or none; an equal name does not replace.
   *
   * @param documents Checked with {@link GatewayDocument}; their agents are named by `agentId`.
   */
  async add(
    documents: readonly GatewayDocument[],
  ): Promise<{ records: GatewayRecord[]; change: PolicyChange }> {
    const { timezone, uuid } = this.#deps
    const made = documents.map((document) =>
      gatewayRow(`${GATEWAY_PREFIX}${uuid()}`, document, ownerOf(document), timezone),
    )
    const change = await this.#deps.change(() => ({ put: made }))
    const rows = await this.#rows()
    return { records: made.map(({ id }) => recordOf(rowOf(rows, uuidOf(id)))), change }
  }

  /** @throws VestryError `NOT_FOUND` */
  async patch(
    id: string,
    patch: GatewayPatch,
  ): Promise<{ record: GatewayRecord; change: PolicyChange }> {
    const change = await this.#deps.change((rows) => {
      const row = rowOf(rows, id)
      const { owner, timezone } = readGatewayRow(row)
      const given = Object.entries(patch).filter(([, value]) => value !== undefined)
      const document = { ...documentOf(row), ...(Object.fromEntries(given) as GatewayPatch) }
      return { put: [gatewayRow(row.id, document as GatewayDocument, owner, timezone)] }
    })
    return { record: await this.get(id), change }
  }

  /** @throws VestryError `NOT_FOUND` */
  async remove(id: string): Promise<PolicyChange> {
    return this.#deps.change((rows) => ({ put: [], remove: [rowOf(rows, id).id] }))
  }

  /** What binds an agent of this id and role. */
  async mergedFor(agentId: string, role: string): Promise<MergedSpec> {
    const policies = (await this.#rows()).filter(({ enabled }) => enabled === 1).map(readGatewayRow)
    const of = (owner: GatewayOwner) => policies.filter((policy) => sameOwner(policy.owner, owner))
    const { spec, sources } = mergeGateway([...of({ role }), ...of({ agent_id: agentId })])
    return { mergedSpec: spec, sourcePolicies: sources.map(uuidOf) }
  }

  async #rows(): Promise<StoredPolicyRow[]> {
    return (await this.#deps.rows()).filter(({ format }) => format === 'gateway')
  }
}

/** @throws VestryError `VALIDATION_ERROR` for a document that names its agent by name only. */
export function ownerOf({ agentId, role }: GatewayDocument): GatewayOwner {
  if (role !== undefined) return { role }
  if (agentId !== undefined) return { agent_id: agentId }
  throw new VestryError('VALIDATION_ERROR', 'Validation error', {
    context: { details: ['agentId: is required'] },
  })
}

function recordOf(row: StoredPolicyRow): GatewayRecord {
  const { name, spec, owner } = readGatewayRow(row)
  const { description } = documentOf(row)
  return {
    id: uuidOf(row.id),
    name,
    ...(description === undefined ? {} : { description }),
    ...('role' in owner ? { role: owner.role } : { agentId: owner.agent_id }),
    spec,
    specHash: specHash(spec),
    active: row.enabled === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

function documentOf(row: StoredPolicyRow): GatewayDocument {
  return acceptGateway(GatewayDocument, JSON.parse(row.source))
}

function rowOf(rows: readonly StoredPolicyRow[], uuid: string): StoredPolicyRow {
  const row = rows.find(({ id, format }) => format === 'gateway' && uuidOf(id) === uuid)
  if (row !== undefined) return row
  throw new VestryError('NOT_FOUND', 'There is no such policy')
}

function uuidOf(id: string): string {
  return id.slice(GATEWAY_PREFIX.length)
}

/**
 * A gateway policy in the policy table: its owner and its spec as the engine reads them, the document as
 * it was given, and the Cedar it amounts to by itself, for people.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { policyText } from './cedar/expression.ts'
import { GATEWAY_PREFIX } from './decision.ts'
import { GatewayGroup } from './gateway-group.ts'
import { gatewayPolicies } from './gateway-import.ts'
import { type GatewaySource, mergeGateway } from './gateway-merge.ts'
import { GatewayParts } from './gateway-parts.ts'
import { type GatewayDocument, GatewaySpec } from './gateway-spec.ts'
import type { NewPolicy } from './policy-file.ts'

/** Whom a gateway policy binds. */
export type GatewayOwner = { role: string } | { agent_id: string }

const Owner = z.union([
  z.strictObject({ role: z.string() }),
  z.strictObject({ agent_id: z.string() }),
])
const Stored = z.strictObject({
  /** Two policies that say the same are still two. */
  id: z.string(),
  owner: Owner,
  name: z.string(),
  spec: GatewaySpec,
  /** Zone of time windows that name none, as it was when this was written. */
  timezone: z.string(),
})

export interface GatewayPolicy extends GatewaySource {
  owner: GatewayOwner
  name: string
}

export function isGatewayId(id: string): boolean {
  return id.startsWith(GATEWAY_PREFIX)
}

/**
 * @param id `gateway:<uuid>`
 * @param document Checked, and its agent, if it names one, looked up.
 */
export function gatewayRow(
  id: string,
  document: GatewayDocument,
  owner: GatewayOwner,
  timezone: string,
): NewPolicy & { format: 'gateway' } {
  const { name, spec, active } = document
  // What is stored must load.
  new GatewayGroup(mergeGateway([{ id, spec, timezone }]), new GatewayParts(), 0)
  const json = canonicalJson({ id, owner, name, spec, timezone })
  return {
    id,
    format: 'gateway',
    text: cedarText({ id, owner, name, spec, timezone }),
    json,
    digest: hash('sha256', json),
    source: JSON.stringify(document, null, 2),
    enabled: active === false ? 0 : 1,
  }
}

/** @throws VestryError `POLICY_INVALID` for a row that is not what {@link gatewayRow} writes. */
export function readGatewayRow({ id, json }: { id: string; json: string }): GatewayPolicy {
  const read = Stored.safeParse(JSON.parse(json))
  if (read.success && read.data.id === id) return read.data
  throw new VestryError('POLICY_INVALID', `Policy "${id}" cannot be read`, {
    context: { policy: id },
    ...(read.success ? {} : { cause: read.error }),
  })
}

export function ownerText(owner: GatewayOwner): string {
  return 'role' in owner ? `role ${owner.role}` : `agent ${owner.agent_id}`
}

export function sameOwner(a: GatewayOwner, b: GatewayOwner): boolean {
  return canonicalJson(a) === canonicalJson(b)
}

function cedarText(policy: GatewayPolicy): string {
  const policies = gatewayPolicies(mergeGateway([policy]))
  const title = `// ${policy.name.replaceAll(/\s+/g, ' ')} (${ownerText(policy.owner)})`
  return [title, ...policies.map(policyText)].join('\n\n')
}

/** An operator's yes before a program may do more than what of its agent serves in the same environment. */
import { createHash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Approvals, Approved } from '../../call/approval.ts'
import { permissionChanges } from '../../dsl/permission-changes.ts'
import type { PermissionChange, Permissions } from '../../dsl/permissions.ts'
import type { Agent } from '../../identity/agent.ts'
import { permittedBy } from '../programs/permitted.ts'
import type { Programs, ProgramVersion } from '../programs/programs-api.ts'
import { isSame } from './changes.ts'
import { type Deployment, type DeploymentConfig, isLive } from './deployment.ts'
import type { DeploymentStore } from './deployment-store.ts'

/** Where a question on the operators' list comes from. */
const SETTING = 'runtime.require_widening_approval'
const ACTION = 'deployment:widen'
/** Characters of changes in one line on the operators' list; what does not fit is counted. */
const MAX_TOLD = 4_000

export interface WideningDeps {
  readonly store: Pick<DeploymentStore, 'list'>
  readonly programs: () => Pick<Programs, 'version'> | undefined
  readonly approvals: Pick<Approvals, 'claim'>
}

export interface Wanted {
  readonly agent: Agent
  readonly environment: string
  readonly config: DeploymentConfig
  readonly version: ProgramVersion | undefined
}

/**
 * A yes is for this agent, environment, source and permissions, and for the changes that were told; it is spent
 * once. What nobody wrote a program for is governed by policies alone, and needs none.
 *
 * @returns undefined: no yes is needed.
 * @throws VestryError APPROVAL_REQUIRED with `context.approval_id` and `context.changes`; ACCESS_DENIED when an
 *   operator said no; RATE_LIMITED when too many questions are open
 */
export async function approvedWidening(
  deps: WideningDeps,
  { agent, environment, config, version }: Wanted,
): Promise<Approved | undefined> {
  if (version === undefined) return undefined
  const next = permittedBy(version.permissions, config)
  const changes = await changesTo(deps, next, { agent, environment })
  if (changes === undefined) return undefined
  const told = wordsOf(changes)
  const what = `version ${version.version} of ${agent.name}`
  const bound = { environment, source_hash: version.sourceHash, permissions: digestOf(next) }
  try {
    return await deps.approvals.claim({
      agentId: agent.id,
      agentName: agent.name,
      summary: `deploy ${what} (source ${version.sourceHash}) to ${environment}: ${told}`,
      reason: undefined,
      action: ACTION,
      resource: environment,
      // Compared with something else, it is not what was read by who said yes.
      params: { ...bound, changes: changes.map((change) => ({ ...change })) },
      policies: [SETTING],
    })
  } catch (thrown) {
    const error = asVestryError(thrown)
    const { approval_id: id } = error.context
    if (error.code !== 'APPROVAL_REQUIRED' || typeof id !== 'string') throw error
    throw new VestryError('APPROVAL_REQUIRED', `An operator must allow ${what}: ${told}`, {
      hint: `Ask an operator to run "vestry approval allow ${id}", then deploy the same again`,
      context: { approval_id: id, agent: agent.name, version: version.version, ...bound, changes },
    })
  }
}

/** @returns undefined: one that serves there may do all of it already. */
async function changesTo(
  { store, programs }: WideningDeps,
  next: Permissions,
  { agent, environment }: Pick<Wanted, 'agent' | 'environment'>,
): Promise<readonly PermissionChange[] | undefined> {
  let newest: readonly PermissionChange[] | undefined
  for (const one of await store.list(agent.id)) {
    if (!isLive(one) || !isSame(one, agent.id, environment)) continue
    const old = await permitted(one, programs())
    if (old === undefined) continue
    const changes = permissionChanges(old, next)
    if (changes.every(({ direction }) => direction === 'narrower')) return undefined
    newest ??= changes
  }
  return newest ?? permissionChanges(undefined, next)
}

/** @returns undefined for what is no program: there is nothing to compare with. */
async function permitted(
  { agentId, programVersion, config }: Deployment,
  programs: Pick<Programs, 'version'> | undefined,
): Promise<Permissions | undefined> {
  if (programVersion === undefined) return undefined
  const version = await programs?.version(agentId, programVersion)
  return version && permittedBy(version.permissions, config)
}

/** Whole changes only: half of one could say the opposite. */
function wordsOf(changes: readonly PermissionChange[]): string {
  if (changes.length === 0) return 'first deployment there, asks for nothing'
  const told: string[] = []
  let length = 0
  for (const { text } of changes) {
    length += text.length + 2
    if (length > MAX_TOLD) break
    told.push(text)
  }
  const left = changes.length - told.length
  if (left > 0) told.unshift(`${left} of ${changes.length} changes do not fit here`)
  return told.join('; ')
}

function digestOf(permissions: Permissions): string {
  return createHash('sha256').update(canonicalJson(permissions)).digest('hex')
}

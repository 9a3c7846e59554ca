/** What a version may do as one deployment has it: what its source asks for, and what its deployer added. Pure. */
import type { Permissions } from '../../dsl/permissions.ts'

/** Whoever deploys it names the workflow in place of the source, and by that permits it. */
export function withWorkflow(permissions: Permissions, workflowId: unknown): Permissions {
  if (typeof workflowId !== 'string' || workflowId === '') return permissions
  const more = { kind: 'workflow', name: workflowId, conditions: [], line: 0 } as const
  return { ...permissions, allows: [...permissions.allows, more] }
}

/** Also with the time of the deployment, which counts in place of that of the source. */
export function permittedBy(
  permissions: Permissions,
  config: { readonly workflow_id?: unknown; readonly timeout_seconds?: unknown },
): Permissions {
  const all = withWorkflow(permissions, config.workflow_id)
  const { timeout_seconds: timeoutSeconds } = config
  if (typeof timeoutSeconds !== 'number') return all
  return { ...all, budgets: { ...all.budgets, timeoutSeconds } }
}

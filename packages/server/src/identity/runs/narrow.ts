/** Whether one transaction asks for no more than another grants. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { CATEGORIES, type TransactionContext } from './run.ts'

/** What a caller may say of the transaction it wants; what it leaves out stays as granted. */
export type Details = Partial<TransactionContext>

const FIXED = ['run_id', 'org_id', 'repo_url', 'agent_type', 'agent_mode'] as const

/**
 * @throws VestryError `INVALID_GRANT` for facts of another run, `INVALID_SCOPE` for whatever was not granted.
 */
export function narrowContext(granted: TransactionContext, asked: Details): TransactionContext {
  for (const name of FIXED) {
    if (asked[name] !== undefined && asked[name] !== granted[name])
      throw new VestryError('INVALID_GRANT', `request_details: ${name} is not that of the run`)
  }
  const { allowed_models, allowed_providers, allowed_tools } = asked
  if (allowed_models !== undefined) {
    for (const category of CATEGORIES)
      assertWithin(allowed_models[category], granted.allowed_models[category], 'allowed_models')
  }
  if (allowed_providers !== undefined) assertProviders(granted, allowed_providers)
  if (allowed_tools !== undefined) {
    for (const [server, tools] of Object.entries(allowed_tools)) {
      const known = Object.hasOwn(granted.allowed_tools, server)
      assertWithin(tools, known ? granted.allowed_tools[server] : [], 'allowed_tools')
      if (!known) throw exceeds('allowed_tools')
    }
  }
  return {
    ...granted,
    ...(allowed_models !== undefined && { allowed_models }),
    ...(allowed_providers !== undefined && { allowed_providers }),
    ...(allowed_tools !== undefined && { allowed_tools }),
  }
}

/** @throws VestryError `INVALID_SCOPE` */
export function narrowScope(
  granted: readonly string[],
  asked: readonly string[],
): readonly string[] {
  assertWithin(asked, granted, 'scope')
  return asked
}

/** An empty list restricts nothing, so it is the widest of all. */
function assertProviders(granted: TransactionContext, asked: readonly string[]): void {
  if (granted.allowed_providers.length === 0) return
  if (asked.length === 0) throw exceeds('allowed_providers')
  assertWithin(asked, granted.allowed_providers, 'allowed_providers')
}

function assertWithin(
  asked: readonly string[] = [],
  granted: readonly string[] = [],
  name: string,
): void {
  if (!asked.every((one) => granted.includes(one))) throw exceeds(name)
}

function exceeds(name: string): VestryError {
  return new VestryError('INVALID_SCOPE', `${name} exceeds what the run was granted`)
}

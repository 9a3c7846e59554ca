/** Names of agents: the wide grammar of the record, the narrow one of the vault wire, and slugs. */
import { VestryError } from '@vestry/contract/errors'

/** runtime.md 1.8: what an agent may be called at all. */
const AGENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/
/** wire contract §5.6: what may log in to the vault. The name becomes part of a file name in its clients. */
const VAULT_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/
/** Would collide with routes of the runtime API (runtime.md 1.8). */
const RESERVED = new Set(['deploy', 'deployments'])
/** Owners of secrets of this form are MCP servers: an agent of such a name would share theirs. */
const OF_SERVERS = /^mcp:/

export function isAgentName(name: string): boolean {
  return AGENT_NAME.test(name) && !isReserved(name)
}

export function isVaultName(name: string): boolean {
  return VAULT_NAME.test(name) && !RESERVED.has(name)
}

function isReserved(name: string): boolean {
  return RESERVED.has(name) || OF_SERVERS.test(name)
}

/** @throws VestryError `INVALID_PARAMS` */
export function assertAgentName(name: string): void {
  if (isReserved(name)) throw new VestryError('INVALID_PARAMS', `The name "${name}" is reserved`)
  if (isAgentName(name)) return
  throw new VestryError('INVALID_PARAMS', 'Agent name is malformed', {
    hint: 'Use 1 to 128 letters, digits, ".", "_", ":", "@" or "-", beginning with a letter or digit.',
  })
}

/**
 * The display name as a vault name: `Lead Bot (EU)` becomes `lead-bot-eu`.
 * A display name without a single Latin letter or digit becomes `agent`.
 */
export function slug(displayName: string): string {
  const words = displayName
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, 64)
    .replace(/[-_]+$/, '')
  return words === '' ? 'agent' : words
}

/** The slug, or the slug with the lowest number from 2 that is still free. */
export function freeName(displayName: string, taken: (name: string) => boolean): string {
  const base = slug(displayName)
  if (isVaultName(base) && !taken(base)) return base
  for (let n = 2; ; n += 1) {
    const suffix = `-${n}`
    const name = `${base.slice(0, 64 - suffix.length)}${suffix}`
    if (!taken(name)) return name
  }
}

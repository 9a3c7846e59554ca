/** What the daemon says of itself at `/metrics`. */
import type { Registry } from '../metrics/registry.ts'
import type { Parts } from './assemble.ts'

export function defineVaultMetrics(
  registry: Registry,
  parts: Parts,
  connections: () => number,
): void {
  const { audit, seal, sessions, leases } = parts
  registry.observed({ name: 'vestry_sealed', help: '1 while the vault is sealed' }, () =>
    seal.state === 'unsealed' ? 0 : 1,
  )
  registry.observed(
    { name: 'vestry_vault_connections', help: 'Open connections, all vault listeners' },
    connections,
  )
  registry.observed({ name: 'vestry_sessions', help: 'Live sessions' }, () => sessions.size)
  registry.observed({ name: 'vestry_leases', help: 'Live leases' }, () => leases.live)
  registry.observed(
    { name: 'vestry_audit_available', help: '1 while intents can be recorded' },
    () => (audit.available ? 1 : 0),
  )
  registry.observed(
    { name: 'vestry_audit_queued', help: 'Records not yet written' },
    () => audit.lag.queued,
  )
  registry.observed(
    { name: 'vestry_audit_unsynced', help: 'Records written and not yet synced' },
    () => audit.lag.unsynced,
  )
  registry.observed({ name: 'vestry_policies', help: 'Policies in force' }, () => parts.policy.size)
}

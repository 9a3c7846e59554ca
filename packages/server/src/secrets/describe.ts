/** What the wire and the commands say of secrets and back ends; never a value, token or key. Pure. */
import type { SecretFacts } from './backend.ts'
import type { Progress } from './migration.ts'
import type { SecretPlace } from './place.ts'
import type { Configured } from './secrets.ts'

export function describeFacts(
  { agent, name }: SecretPlace,
  facts: SecretFacts,
): Record<string, unknown> {
  return {
    secret_name: name,
    agent_id: agent,
    version: facts.version,
    created_at: iso(facts.createdAtMs),
    updated_at: facts.updatedAtMs === undefined ? null : iso(facts.updatedAtMs),
    description: facts.description ?? null,
  }
}

export function configureReply(configured: Configured): Record<string, unknown> {
  const { type, configuredAtMs, details } = configured
  return {
    status: 'configured',
    backend_type: type,
    configured_at: configuredAtMs === 0 ? null : iso(configuredAtMs),
    details,
  }
}

export function describeProgress(
  progress: Progress | { status: 'idle' | 'interrupted' | 'elsewhere' },
): Record<string, unknown> {
  if (!('from' in progress)) return { status: progress.status }
  return {
    status: progress.status,
    from: progress.from,
    to: progress.to,
    copied: progress.copied,
    total: progress.total,
    started_at: iso(progress.startedAtMs),
    finished_at: progress.finishedAtMs === undefined ? null : iso(progress.finishedAtMs),
    error: progress.error ?? null,
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

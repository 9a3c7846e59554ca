/** What telemetry counts. Labels come from our own short lists, never from what producers write. */
import type { Registry } from '../metrics/registry.ts'

/** Why a line was not stored. */
export const REJECT_REASONS = [
  'too_long',
  'utf8',
  'syntax',
  'depth',
  'key_twice',
  'key',
  'surrogate',
  'number',
  'lane',
  'spec',
  'kind',
  'ts',
  'ids',
  'subject',
  'capture',
  'payload',
  'producer',
  // A fault of ours, which costs one line and no more.
  'internal',
] as const
export type RejectReason = (typeof REJECT_REASONS)[number]

export interface TelemetryMetrics {
  /** One envelope was taken for the log. */
  event(claimed: boolean): void
  duplicate(): void
  rejected(reason: RejectReason): void
  /** A producer wrote into members that are the collector's. */
  forgedIdentity(): void
  /** Secrets that a producer should have redacted. */
  leakBlocked(count: number): void
  /** Events that a producer numbered and that did not arrive. */
  gap(missing: number): void
  /** The log could not be written: kept in memory, or lost and counted in the log. */
  spooled(): void
  /** There were too many connections already. */
  refusedConnection(): void
  /** A connection was read more slowly than it wrote. */
  held(): void
  action(type: string, status: string): void
  claim(outcome: 'granted' | 'refused'): void
  exported(count: number): void
  exportFailed(): void
  /** Batches that the receiver does not want, in events. */
  exportRefused(count: number): void
  exportLost(count: number): void
}

/** Read when the page is made. */
export interface TelemetryGauges {
  readonly connections: () => number
  readonly producers: () => number
  readonly claims: () => number
  /** Records that are in the log and not yet exported. */
  readonly exportLag: () => number
}

const COUNTERS = {
  duplicates: ['vestry_coat_duplicates_total', 'Events that had been stored before'],
  forged: [
    'vestry_coat_forged_identity_total',
    'Events that named an identity which is not theirs',
  ],
  leaks: ['vestry_coat_leak_blocked_total', 'Secrets that a producer had not redacted'],
  missing: ['vestry_coat_missing_total', 'Events that producers numbered and that never arrived'],
  spooled: ['vestry_coat_spooled_total', 'Events that came while the log could not be written'],
  refusedConnections: [
    'vestry_coat_refused_connections_total',
    'Connections of the queue socket that were turned away',
  ],
  held: ['vestry_coat_held_total', 'Times a connection was read more slowly than it wrote'],
  exported: ['vestry_coat_exported_total', 'Records that a receiver took'],
  exportFailed: ['vestry_coat_export_failures_total', 'Attempts to export that failed'],
  exportRefused: ['vestry_coat_export_refused_total', 'Records that a receiver refused for good'],
  exportLost: ['vestry_coat_export_lost_total', 'Records that were deleted before their export'],
} as const

export function defineTelemetryMetrics(
  registry: Registry,
  gauges: TelemetryGauges,
): TelemetryMetrics {
  const plain = (key: keyof typeof COUNTERS) => {
    const [name, help] = COUNTERS[key]
    return registry.counter({ name, help }).at()
  }
  const events = registry.counter({
    name: 'vestry_coat_events_total',
    help: 'Events stored, by whether their process had claimed an identity',
    labels: ['caller'],
  })
  const claimed = events.at('claimed')
  const anonymous = events.at('anonymous')
  const rejected = registry.counter({
    name: 'vestry_coat_rejected_total',
    help: 'Lines that were not stored, by reason',
    labels: ['reason'],
  })
  for (const reason of REJECT_REASONS) rejected.at(reason)
  const actions = registry.counter({
    name: 'vestry_coat_actions_total',
    help: 'Requests of the action queue, by type and answer',
    labels: ['type', 'status'],
  })
  const claims = registry.counter({
    name: 'vestry_coat_claim_requests_total',
    help: 'Requests for an identity, by outcome',
    labels: ['outcome'],
  })
  claims.at('granted')
  claims.at('refused')
  registry.observed(
    { name: 'vestry_coat_connections', help: 'Open connections of the queue socket' },
    gauges.connections,
  )
  registry.observed(
    { name: 'vestry_coat_producers', help: 'Producers whose sequence is being followed' },
    gauges.producers,
  )
  registry.observed({ name: 'vestry_coat_claims', help: 'Live claims' }, gauges.claims)
  registry.observed(
    { name: 'vestry_coat_export_lag', help: 'Records in the log that are not exported yet' },
    gauges.exportLag,
  )
  const duplicates = plain('duplicates')
  const forged = plain('forged')
  const leaks = plain('leaks')
  const missing = plain('missing')
  const spooled = plain('spooled')
  const refusedConnections = plain('refusedConnections')
  const held = plain('held')
  const exported = plain('exported')
  const exportFailed = plain('exportFailed')
  const exportRefused = plain('exportRefused')
  const exportLost = plain('exportLost')
  return {
    event: (byAgent) => (byAgent ? claimed : anonymous).inc(),
    duplicate: () => duplicates.inc(),
    rejected: (reason) => rejected.at(reason).inc(),
    forgedIdentity: () => forged.inc(),
    leakBlocked: (count) => leaks.inc(count),
    gap: (count) => missing.inc(count),
    spooled: () => spooled.inc(),
    refusedConnection: () => refusedConnections.inc(),
    held: () => held.inc(),
    action: (type, status) => actions.at(type, status).inc(),
    claim: (outcome) => claims.at(outcome).inc(),
    exported: (count) => exported.inc(count),
    exportFailed: () => exportFailed.inc(),
    exportRefused: (count) => exportRefused.inc(count),
    exportLost: (count) => exportLost.inc(count),
  }
}

/** What one connection may take up: times in milliseconds, sizes in bytes (wire contract §2–4). */
export interface WireLimits {
  readonly maxRequestBytes: number
  readonly maxRequestBytesUnauthenticated: number
  readonly inflightPerConnection: number
  /** Requests of this size together, once reached, hold up further reading. */
  readonly inflightBytes: number
  /** 0: authenticated connections may idle for ever. */
  readonly idleTimeoutMs: number
  readonly authenticateWithinMs: number
  readonly headerWithinMs: number
  readonly bodyProgressMs: number
  readonly bodyWithinMs: number
  /** Answers queued for a peer that does not read hold up further reading. */
  readonly queuedReplyBytes: number
  readonly queuedReplyBytesUnauthenticated: number
  readonly writeStallMs: number
  readonly closeLingerMs: number
}

export const DEFAULT_WIRE_LIMITS: WireLimits = {
  maxRequestBytes: 4_194_304,
  maxRequestBytesUnauthenticated: 65_536,
  inflightPerConnection: 32,
  inflightBytes: 8 * 1024 * 1024,
  idleTimeoutMs: 0,
  authenticateWithinMs: 10_000,
  headerWithinMs: 10_000,
  bodyProgressMs: 10_000,
  bodyWithinMs: 60_000,
  queuedReplyBytes: 8 * 1024 * 1024,
  queuedReplyBytesUnauthenticated: 64 * 1024,
  writeStallMs: 60_000,
  closeLingerMs: 5_000,
}

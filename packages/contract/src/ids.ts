/** Random ids. Every id names its kind, so a person who meets one in a log knows what to look up. */

const pool = new Uint8Array(4096)
let used = pool.length

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** @param bytes 1–64 random bytes from the system generator, as lower-case hex. */
export function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    globalThis.crypto.getRandomValues(pool)
    used = 0
  }
  let out = ''
  for (const end = used + bytes; used < end; used += 1) {
    out += HEX[pool[used] as number]
    pool[used] = 0 // an id that was handed out must not linger in the pool
  }
  return out
}

export const newRequestId = (): string => `r-${randomHex(8)}`
export const newDecisionId = (): string => `dec_${randomHex(12)}`
export const newTxn = (): string => `txn_${randomHex(16)}`
export const newLeaseId = (): string => `lease_${randomHex(16)}`
export const newApprovalId = (): string => `appr_${randomHex(12)}`
/** W3C trace context: 16 and 8 bytes. */
export const newTraceId = (): string => randomHex(16)
export const newSpanId = (): string => randomHex(8)

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

/** Crockford's digits without the look-alikes; in this order the text sorts as the number does. */
const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz'

/**
 * `<prefix>_` and 26 characters: 48 bits of milliseconds, then 80 random bits. Later ids sort after earlier ones,
 * to the millisecond.
 */
export function newTimeOrderedId(prefix: string, nowMs: number = Date.now()): string {
  let out = `${prefix}_`
  for (let shift = 45; shift >= 0; shift -= 5)
    out += BASE32[Math.floor(nowMs / 2 ** shift) % 32] as string
  // Five bits of each of sixteen bytes.
  const random = randomHex(16)
  for (let at = 0; at < 32; at += 2)
    out += BASE32[Number.parseInt(random.slice(at, at + 2), 16) & 31] as string
  return out
}

/** When a client is told to fetch a new token (wire contract §6.9). Pure. */

/** With less than this left. */
const RECOMMENDED_MS = 300_000

/** @returns The headers to add to the answer, of an expired token too; none while there is time. */
export function rotationHeaders(
  expiresAtMs: number,
  nowMs: number,
): Readonly<Record<string, string>> {
  if (expiresAtMs - nowMs >= RECOMMENDED_MS) return {}
  return {
    'X-Token-Rotation-Recommended': 'true',
    'X-Token-Expires-At': new Date(expiresAtMs).toISOString(),
  }
}

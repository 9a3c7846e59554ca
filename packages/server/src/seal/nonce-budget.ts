/**
 * How often one AES-GCM key may be used with random 96-bit nonces.
 * @see wire contract §7.6, 15.6; NIST SP 800-38D §8.3
 */

/** From here on the key should be replaced. */
export const NONCE_WARN = 2 ** 31
/** From here on the key must not encrypt. */
export const NONCE_LIMIT = 2 ** 32

/** @param used Encryptions made so far, counted high rather than low. */
export function nonceBudget(used: number): 'fine' | 'due' | 'spent' {
  if (used >= NONCE_LIMIT) return 'spent'
  return used >= NONCE_WARN ? 'due' : 'fine'
}

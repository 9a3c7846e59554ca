/** A secret as a member of a request. */
import type { Secret } from '../seal/secret.ts'

/**
 * Base64 of the bytes. The request library takes strings only, so here, in the operator's own short-lived
 * process, the encoded value is one; the daemon lifts it out of the frame before it parses the rest.
 */
export function base64Member({ bytes }: Secret): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

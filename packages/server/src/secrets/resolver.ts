/** How other parts get at a secret: by reference, at the moment of use. */
import type { Secret } from '../seal/secret.ts'

export interface SecretResolver {
  /**
   * @param reference `secret://<name>` is the owner's own, `vault://<path>` a credential of the vault.
   * @param owner Whose secrets: an agent's name, or `mcp:<server>` for an MCP server's.
   * @returns The caller disposes it.
   * @throws VestryError SECRET_NOT_FOUND, CREDENTIAL_NOT_FOUND, BACKEND_UNAVAILABLE, BACKEND_AUTH_FAILED,
   *   BACKEND_ERROR, BACKEND_TIMEOUT, VAULT_LOCKED, INVALID_PARAMS for what is no reference.
   */
  resolve(reference: string, owner: string): Promise<Secret>
}

const REFERENCE = /^(?:secret|vault):\/\//

/** Whether a setting names a secret instead of being a plain value. */
export function isReference(text: string): boolean {
  return REFERENCE.test(text)
}

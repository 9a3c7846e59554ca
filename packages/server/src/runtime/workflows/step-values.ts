/** What steps are worth: as it is kept, as it is shown, and as later steps see it. */
import { SecretRef } from '../../dsl/host.ts'

/**
 * A step that names a secret is worth a reference, which only what sends it can open. Of `secret.get` only: what a tool
 * or another side answers must not name secrets.
 */
export function revived(kind: string, output: unknown): unknown {
  if (kind !== 'secret.get') return output
  if (typeof output !== 'object' || output === null || !('$secret' in output)) return output
  return new SecretRef(String(output.$secret))
}

/** As it is kept and shown: secrets are not. */
export function plain(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value))
}

/** To people. */
export function shown(output: unknown): unknown {
  return output instanceof SecretRef ? '[secret]' : output
}

/** Refuses to run where the environment switches certificate verification off for the whole process. */
import { VestryError } from '@vestry/contract/errors'

/** @throws VestryError `CONFIG_INVALID` when `NODE_TLS_REJECT_UNAUTHORIZED` is `0` (wire contract §8.6). */
export function assertTlsEnvironment(env: Readonly<Record<string, string | undefined>>): void {
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0') return
  throw new VestryError(
    'CONFIG_INVALID',
    'NODE_TLS_REJECT_UNAUTHORIZED=0 switches certificate verification off',
    { hint: 'Unset it; add private authorities with egress.ca_file.' },
  )
}

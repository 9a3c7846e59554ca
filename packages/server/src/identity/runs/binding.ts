/** That an identity and a transaction token belong together (sage contract §18.3 step 7). Pure. */
import { VestryError } from '@vestry/contract/errors'
import { parseSpiffeId } from './spiffe-id.ts'
import type { TratClaims } from './trat.ts'

/**
 * @param runPathPrefix Below it a SPIFFE ID names its run, e.g. `/scanner/`.
 * @throws VestryError `IDENTITY_TXN_MISMATCH`
 */
export function assertBound(spiffeId: string, claims: TratClaims, runPathPrefix: string): void {
  if (claims.req_wl !== spiffeId) throw new VestryError('IDENTITY_TXN_MISMATCH')
  const { path = '' } = parseSpiffeId(spiffeId) ?? {}
  if (path.startsWith(runPathPrefix) && path.slice(runPathPrefix.length) !== claims.tctx.run_id)
    throw new VestryError('IDENTITY_TXN_MISMATCH')
}

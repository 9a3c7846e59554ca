/** What an operator should look at, beside the outcome of a request: counts and places, no content. */
import { asVestryError } from '@vestry/contract/errors'
import type { EgressResult } from '../../egress/send.ts'
import { callerRecord } from '../../vault/record.ts'
import type { HttpEffectDeps, HttpRequest } from './http.ts'

/** Addresses and redirects that were refused, and replies that were withheld for what they held. */
export async function recordBlocked(
  deps: Pick<HttpEffectDeps, 'stations'>,
  asked: HttpRequest,
  error: unknown,
): Promise<void> {
  const { code, context } = asVestryError(error)
  const { host = null, redactions, places } = context
  if (code === 'SSRF_BLOCKED' || code === 'REDIRECT_BLOCKED')
    await record(deps, asked, 'egress.blocked', { code, host })
  else if (redactions !== undefined)
    await record(deps, asked, 'egress.reflection', { code, redactions, places })
}

export async function recordReflection(
  deps: Pick<HttpEffectDeps, 'stations'>,
  asked: HttpRequest,
  { target, redactions: { count, places } }: EgressResult,
): Promise<void> {
  await record(deps, asked, 'egress.reflection', { host: target.host, redactions: count, places })
}

async function record(
  { stations }: Pick<HttpEffectDeps, 'stations'>,
  { caller, requestId, method, secretHeader, data }: HttpRequest,
  action: 'egress.blocked' | 'egress.reflection',
  facts: Record<string, unknown>,
): Promise<void> {
  const reference = secretHeader?.reference
  const entry = callerRecord(caller, {
    action,
    detail: `http ${method}`,
    requestId,
    success: false,
    data: {
      ...data,
      ...(reference !== undefined && { secret: reference }),
      severity: 'high',
      ...facts,
    },
  })
  await stations.audit.append({ ...entry, source: 'runtime' }, 'written')
}

/** A provider's error in our words: what it wrote stays behind, because it may echo anything. */
import { VestryError } from '@vestry/contract/errors'
import { ToolFailure } from '../tools/tool.ts'

const CODES = {
  failed: 'UPSTREAM_FAILED',
  auth: 'UPSTREAM_AUTH',
  rate_limited: 'UPSTREAM_RATE_LIMITED',
  rejected: 'UPSTREAM_REJECTED',
} as const

const DEFAULT_RETRY_SECONDS = 1

export function providerError(error: unknown): unknown {
  if (!(error instanceof ToolFailure)) return error
  const { kind, upstreamStatus, retryAfter } = error
  const limited = kind === 'rate_limited'
  return new VestryError(CODES[kind], `the provider answered ${upstreamStatus}`, {
    context: {
      upstream_status: upstreamStatus,
      ...(limited && { retry_after_ms: 1_000 * (retryAfter ?? DEFAULT_RETRY_SECONDS) }),
    },
    cause: error,
  })
}

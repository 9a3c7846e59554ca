/** Refusals by policy in the words of this wire (wire contract §18.4): which of the run's permissions was missing. */
import { type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { ResolvedModel } from './model-ref.ts'

const REASONS: Readonly<Record<string, ErrorCode>> = {
  scope_not_allowed: 'SCOPE_NOT_ALLOWED',
  provider_not_allowed: 'PROVIDER_NOT_ALLOWED',
  category_not_allowed: 'CATEGORY_NOT_ALLOWED',
}
/** "Nobody permits it", in the words of policies in general. */
const UNPERMITTED: ReadonlySet<string> = new Set([
  'model_not_allowed',
  'no_matching_rule',
  'condition_not_met',
])

/** The error to tell; every other one stays as it is. */
export function toldDenial(error: unknown, { provider, ref, category }: ResolvedModel): unknown {
  if (!(error instanceof VestryError)) return error
  if (error.code === 'APPROVAL_REQUIRED') {
    return denial(error, 'MODEL_NOT_ALLOWED', `Model ${ref} waits for an approval`, 'model')
  }
  if (error.code !== 'ACCESS_DENIED') return error
  const reason = String(error.context['reason_code'] ?? '')
  const code = REASONS[reason] ?? 'MODEL_NOT_ALLOWED'
  switch (code) {
    case 'SCOPE_NOT_ALLOWED':
      return denial(error, code, 'The run has no scope for model calls')
    case 'PROVIDER_NOT_ALLOWED':
      return denial(error, code, `Provider ${provider} is not permitted for this run`, 'X-Provider')
    case 'CATEGORY_NOT_ALLOWED':
      return denial(error, code, `Category ${category} is not permitted here`, 'X-Sage-Category')
    default: {
      const why = UNPERMITTED.has(reason) ? '' : `: ${reason}`
      return denial(error, code, `Model ${ref} is not permitted for this run${why}`, 'model')
    }
  }
}

function denial(cause: VestryError, code: ErrorCode, message: string, param?: string): VestryError {
  const { decision, approval_id } = cause.context
  return new VestryError(code, message, {
    context: {
      ...(param !== undefined && { param }),
      ...(decision !== undefined && { decision }),
      ...(approval_id !== undefined && { approval_id }),
    },
    cause,
  })
}

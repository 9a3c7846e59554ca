/** The body of a token request (wire contract §6.1), checked. Asking for too much is no error. */
import {
  fieldsOf,
  invalidField,
  LABEL,
  requireFields,
  textField,
  textsField,
} from './request-field.ts'

export interface MintRequest {
  readonly agentId: string
  readonly tools: readonly string[]
  readonly permissions: readonly string[]
  /** As it was written; expiry.ts reads it. */
  readonly expiresAt: string
  /** From the header `X-Agent-Intent`: what calls under the token are for when they do not say. */
  readonly intent: string | undefined
}

/**
 * @param body Parsed JSON.
 * @param intent The header `X-Agent-Intent`, if any.
 * @throws VestryError `BAD_REQUEST`, `MISSING_FIELDS` or `INVALID_FIELD`.
 */
export function readMintRequest(body: unknown, intent?: string): MintRequest {
  const fields = fieldsOf(body)
  requireFields(fields, ['agent_id', 'tools', 'permissions', 'expires_at'])
  return {
    agentId: textField(fields, 'agent_id'),
    tools: textsField(fields, 'tools'),
    permissions: textsField(fields, 'permissions'),
    expiresAt: textField(fields, 'expires_at'),
    intent: readIntent(intent?.trim()),
  }
}

function readIntent(intent: string | undefined): string | undefined {
  if (intent === undefined || intent === '') return undefined
  if (LABEL.test(intent)) return intent
  throw invalidField('X-Agent-Intent', '1 to 128 printable characters')
}

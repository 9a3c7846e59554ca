/** Operators: the people and automation allowed on the admin surface. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { isVaultName } from './agent-name.ts'

/** `owner` all; `admin` no seal slots or root; `auditor` reads; `approver` approves (wire contract §18.1). */
export const OPERATOR_ROLES = ['owner', 'admin', 'auditor', 'approver'] as const
export type OperatorRole = (typeof OPERATOR_ROLES)[number]

export interface Operator {
  /** UUID, or the key id of the API key that stands for this operator. */
  readonly id: string
  readonly name: string
  readonly role: OperatorRole
  readonly status: 'enabled' | 'revoked'
  /** Hex of the raw Ed25519 key; absent when an API key stands for the operator. */
  readonly publicKey?: string
  /** Epoch ms. */
  readonly createdAt: number
}

/**
 * @param text A role; `operator` and `administrator` are other words for `admin`.
 * @throws VestryError `INVALID_PARAMS`
 */
export function acceptRole(text: string): OperatorRole {
  if (text === 'operator' || text === 'administrator') return 'admin'
  const role = OPERATOR_ROLES.find((known) => known === text)
  if (role !== undefined) return role
  throw new VestryError('INVALID_PARAMS', `Unknown operator role "${text}"`, {
    hint: `Use one of ${OPERATOR_ROLES.join(', ')}.`,
  })
}

/** @throws VestryError `INVALID_PARAMS`. Operators share the vault grammar: key files carry their name. */
export function assertOperatorName(name: string): void {
  if (isVaultName(name)) return
  throw new VestryError('INVALID_PARAMS', 'Operator name is malformed', {
    hint: 'Use 1 to 64 letters, digits, "_" or "-", beginning with a letter or digit.',
  })
}

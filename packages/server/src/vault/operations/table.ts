/** Every operation of `use` by its exact name. */
import { VestryError } from '@vestry/contract/errors'
import type { PolicyContext } from '../../policy/engine.ts'
import type { Credential } from '../credential.ts'
import { decryptOperation, encryptOperation, rewrapOperation } from './crypt-operation.ts'
import { headerOperation } from './header-operation.ts'
import { httpRequestOperation } from './http-request.ts'
import type { Operation } from './operation.ts'
import type { Params } from './params.ts'
import { signOperation, verifyOperation } from './sign-operation.ts'

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ['http_request', httpRequestOperation],
  ['http_header', headerOperation],
  ['sign', signOperation],
  ['verify', verifyOperation],
  ['encrypt', encryptOperation],
  ['decrypt', decryptOperation],
  ['rewrap', rewrapOperation],
])

/** Names of the published clients' first version. */
const ALIASES: ReadonlyMap<string, string> = new Map([['sign_payload', 'sign']])

/** @throws VestryError OPERATION_NOT_SUPPORTED with the names that are. */
export function findOperation(asked: string): { name: string; operation: Operation } {
  const name = ALIASES.get(asked) ?? asked
  const operation = OPERATIONS.get(name)
  if (operation !== undefined) return { name, operation }
  const supported = [...OPERATIONS.keys()]
  throw new VestryError('OPERATION_NOT_SUPPORTED', 'the operation is not known', {
    hint: `Use one of ${supported.join(', ')}`,
    context: { supported },
  })
}

/** What policy would be told of such a call; parameters that cannot be read tell it nothing. */
export function operationContext(
  name: string,
  params: Params,
  found: Credential | undefined,
): Partial<PolicyContext> {
  try {
    return findOperation(name).operation.prepare(params, found).context
  } catch {
    return {}
  }
}

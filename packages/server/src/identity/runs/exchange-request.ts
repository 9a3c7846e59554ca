/** What a token exchange asks for (sage contract §8.1), out of its form. Pure. */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { readStrictJson } from '../../json/strict-json.ts'
import type { Details } from './narrow.ts'
import type { RequesterContext } from './run.ts'
import {
  AllowedModels,
  AllowedProviders,
  AllowedTools,
  defined,
  Requester,
  Scope,
} from './run-registration.ts'

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const TXN_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:txn_token'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

export interface ExchangeRequest {
  readonly audience: string
  readonly scope: readonly string[]
  readonly subject: { readonly type: 'svid' | 'trat'; readonly token: string }
  /** An SVID in place of the one in the `Authorization` header. */
  readonly clientAssertion: string | undefined
  readonly details: Details
  readonly requester: RequesterContext
}

const RequestDetails = z.strictObject({
  run_id: z.string().max(128).exactOptional(),
  org_id: z.string().max(256).exactOptional(),
  repo_url: z.string().max(2_048).exactOptional(),
  agent_type: z.string().max(2_048).exactOptional(),
  agent_mode: z.string().max(2_048).exactOptional(),
  allowed_models: AllowedModels.unwrap().exactOptional(),
  allowed_providers: AllowedProviders.exactOptional(),
  allowed_tools: AllowedTools.exactOptional(),
})

const SUBJECT_TYPES: ReadonlyMap<string, 'svid' | 'trat'> = new Map([
  [JWT_TYPE, 'svid'],
  [TXN_TOKEN_TYPE, 'trat'],
])

/**
 * @param form The body, `application/x-www-form-urlencoded`.
 * @throws VestryError `INVALID_REQUEST`, `UNSUPPORTED_GRANT_TYPE`, `INVALID_SCOPE`
 */
export function readExchange(form: string): ExchangeRequest {
  const params = new URLSearchParams(form)
  const names = [...params.keys()]
  if (new Set(names).size !== names.length) throw refused('a parameter is there twice')
  const grant = required(params, 'grant_type')
  if (grant !== GRANT_TYPE) throw new VestryError('UNSUPPORTED_GRANT_TYPE')
  if (required(params, 'requested_token_type') !== TXN_TOKEN_TYPE)
    throw refused('requested_token_type must be that of transaction tokens')
  const type = SUBJECT_TYPES.get(required(params, 'subject_token_type'))
  if (type === undefined) throw refused('subject_token_type is not supported')
  return {
    audience: required(params, 'audience'),
    scope: accept(Scope, required(params, 'scope'), 'INVALID_SCOPE'),
    subject: { type, token: required(params, 'subject_token') },
    clientAssertion: assertion(params),
    details: accept(RequestDetails, json(params, 'request_details'), 'INVALID_REQUEST'),
    requester: defined(accept(Requester, json(params, 'request_context'), 'INVALID_REQUEST')),
  }
}

function required(params: URLSearchParams, name: string): string {
  const value = params.get(name)
  if (value !== null && value !== '') return value
  throw refused(`${name} is required`)
}

function assertion(params: URLSearchParams): string | undefined {
  const type = params.get('client_assertion_type')
  const token = params.get('client_assertion')
  if (type === null && token === null) return undefined
  if (type !== ASSERTION_TYPE || token === null || token === '')
    throw refused('client_assertion_type and client_assertion must name and hold a JWT')
  return token
}

function json(params: URLSearchParams, name: string): unknown {
  const text = params.get(name)
  if (text === null || text === '') return {}
  try {
    return readStrictJson(Buffer.from(text))
  } catch {
    throw refused(`${name} is not JSON, or holds a member twice`)
  }
}

function refused(problem: string): VestryError {
  return new VestryError('INVALID_REQUEST', problem)
}

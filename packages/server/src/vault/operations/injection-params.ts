/** Where in a request the secret goes: the agent's wish, unless the operator fixed it (vault.md §7.2). */
import { VestryError } from '@vestry/contract/errors'
import {
  buildInjection,
  HEADER_TYPES,
  type Injection,
  type InjectionSpec,
} from '../../egress/injection.ts'
import type { Secret } from '../../seal/secret.ts'
import type { Credential } from '../credential.ts'
import { invalid, optionalString, type Params } from './params.ts'

export const INJECTION_PARAMS = ['header_type', 'header_name', 'header_prefix', 'username'] as const

export interface WantedInjection {
  /** What will be used. */
  readonly spec: InjectionSpec
  /** The agent asked for something a locked binding forbids. */
  readonly conflict: boolean
}

export function readInjection(params: Params, found: Credential | undefined): WantedInjection {
  const type = optionalString(params, 'header_type', 32)
  const headerType = HEADER_TYPES.find((known) => known === type)
  if (type !== undefined && headerType === undefined) {
    throw invalid('header_type', 'is not known', `Use one of ${HEADER_TYPES.join(', ')}`)
  }
  const headerName = optionalString(params, 'header_name', 128)
  const headerPrefix = optionalString(params, 'header_prefix', 256)
  const username = optionalString(params, 'username', 256)
  const asked: InjectionSpec = {
    ...(headerType !== undefined && { headerType }),
    ...(headerName !== undefined && { headerName }),
    ...(headerPrefix !== undefined && { headerPrefix }),
    ...(username !== undefined && { username }),
  }
  const bound = found?.settings.inject
  if (bound === undefined) return { spec: asked, conflict: false }
  const fixed: InjectionSpec = {
    headerType: bound.header_type,
    ...(bound.header_name !== undefined && { headerName: bound.header_name }),
    ...(bound.prefix !== undefined && { headerPrefix: bound.prefix }),
    ...(bound.username !== undefined && { username: bound.username }),
  }
  if (!bound.locked && Object.keys(asked).length > 0) return { spec: asked, conflict: false }
  const differs = Object.entries(asked).some(
    ([name, value]) => fixed[name as keyof InjectionSpec] !== value,
  )
  return { spec: fixed, conflict: bound.locked && differs }
}

/** The header policy is told about. */
export function injectionContext({ spec }: WantedInjection): {
  headerType: string
  headerName: string
} {
  const headerType = spec.headerType ?? 'bearer'
  const headerName =
    headerType === 'custom'
      ? (spec.headerName ?? '')
      : headerType === 'api_key'
        ? 'X-API-Key'
        : 'Authorization'
  return { headerType, headerName }
}

export function assertUnlocked({ conflict }: WantedInjection, { path }: Credential): void {
  if (!conflict) return
  throw new VestryError('ACCESS_DENIED', `the operator fixed where '${path}' is injected`, {
    hint: 'Leave header_type, header_name, header_prefix and username out',
    context: { path, legacy_code: 'POLICY_DENIED' },
  })
}

export function inject({ spec }: WantedInjection, secret: Secret): Injection {
  return buildInjection(spec, secret)
}

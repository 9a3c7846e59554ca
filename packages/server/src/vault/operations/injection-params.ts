/** Where in a request the secret goes: the agent's wish, unless the operator fixed it (wire contract §7.2). */
import { VestryError } from '@vestry/contract/errors'
import { checkInjection, HEADER_TYPES, type InjectionSpec } from '../../egress/injection.ts'
import { type Credential, injectionSpec } from '../credential.ts'
import { invalid, optionalString, type Params } from './params.ts'

export const INJECTION_PARAMS = ['header_type', 'header_name', 'header_prefix', 'username'] as const

export interface WantedInjection {
  /** What will be used. */
  readonly spec: InjectionSpec
  /** The agent asked for something a locked binding forbids. */
  readonly conflict: boolean
}

/** @throws VestryError INVALID_PARAMS for a header that cannot be, whatever the operator fixed. */
export function readInjection(params: Params, found: Credential | undefined): WantedInjection {
  const asked = readAsked(params)
  checkInjection(asked)
  const bound = found?.settings.inject
  if (bound === undefined) return { spec: asked, conflict: false }
  if (!bound.locked && Object.keys(asked).length > 0) return { spec: asked, conflict: false }
  const spec = injectionSpec(bound)
  return { spec, conflict: bound.locked && differs(asked, spec) }
}

/** The header policy is told about. */
export function injectionContext({ spec }: WantedInjection): {
  headerType: string
  headerName: string
} {
  return { headerType: spec.headerType ?? 'bearer', headerName: checkInjection(spec) }
}

export function assertUnlocked({ conflict }: WantedInjection, { path }: Credential): void {
  if (!conflict) return
  throw new VestryError('ACCESS_DENIED', `the operator fixed where '${path}' is injected`, {
    hint: 'Leave header_type, header_name, header_prefix and username out',
    context: { action: 'use', path, reason_code: 'locked_binding', legacy_code: 'POLICY_DENIED' },
  })
}

function readAsked(params: Params): InjectionSpec {
  const type = optionalString(params, 'header_type', 32)
  const headerType = HEADER_TYPES.find((known) => known === type)
  if (type !== undefined && headerType === undefined) {
    throw invalid('header_type', 'is not known', `Use one of ${HEADER_TYPES.join(', ')}`)
  }
  const headerName = optionalString(params, 'header_name', 128)
  const headerPrefix = optionalString(params, 'header_prefix', 256)
  const username = optionalString(params, 'username', 256)
  return {
    ...(headerType !== undefined && { headerType }),
    ...(headerName !== undefined && { headerName }),
    ...(headerPrefix !== undefined && headerPrefix !== '' && { headerPrefix }),
    ...(username !== undefined && { username }),
  }
}

function differs(asked: InjectionSpec, fixed: InjectionSpec): boolean {
  return (
    (asked.headerType !== undefined && asked.headerType !== fixed.headerType) ||
    (asked.headerName !== undefined && asked.headerName !== fixed.headerName) ||
    (asked.headerPrefix !== undefined && asked.headerPrefix !== fixed.headerPrefix) ||
    (asked.username !== undefined && asked.username !== fixed.username)
  )
}

/** Where a secret is: whose it is and what it is called. Pure. */
import { type ErrorCode, VestryError } from '@vestry/contract/errors'

export const MAX_VALUE_BYTES = 65_536
export const MAX_DESCRIPTION_CHARS = 1_024

export interface SecretPlace {
  /** An agent's name, or `mcp:<server>`; it need not be registered. */
  readonly agent: string
  /** Segments joined by `/`. */
  readonly name: string
}

const AGENT = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/
const SEGMENT = /^[A-Za-z0-9._-]{1,128}$/
const MAX_SEGMENTS = 16
/** `secrets/config` is a route, so secrets of an agent of that name could not be addressed. */
const RESERVED_AGENT = 'config'

export const NAME_RULE =
  '1 to 16 segments of letters, digits and . _ - joined by "/", none of them "." or ".."'
export const AGENT_RULE =
  '1 to 128 letters, digits and . _ : @ - that begin with a letter or digit, and not "config"'

export function isOwner(agent: string): boolean {
  return AGENT.test(agent) && agent !== RESERVED_AGENT
}

export function isSecretName(name: string): boolean {
  const segments = name.split('/')
  return (
    segments.length <= MAX_SEGMENTS &&
    segments.every((segment) => SEGMENT.test(segment) && segment !== '.' && segment !== '..')
  )
}

/** @throws VestryError `code`; what was given is not repeated, since it may be a value in the wrong place. */
export function assertPlace(
  { agent, name }: SecretPlace,
  code: ErrorCode = 'INVALID_PARAMS',
): void {
  if (!isOwner(agent)) throw new VestryError(code, `The agent id must be ${AGENT_RULE}`)
  if (!isSecretName(name)) throw new VestryError(code, `The secret's name must be ${NAME_RULE}`)
}

/** One text for both; a space is in neither. */
export function placeKey({ agent, name }: SecretPlace): string {
  return `${agent} ${name}`
}

export function secretNotFound({ agent, name }: SecretPlace): VestryError {
  return new VestryError('SECRET_NOT_FOUND', `Agent "${agent}" has no secret "${name}"`)
}

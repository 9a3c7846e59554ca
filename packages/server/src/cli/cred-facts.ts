/** The options that describe a credential, and the facts of the request they become. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { futureMoment, integer, list, oneOf, pairs } from './option-value.ts'

/** Also what `vault/credential.ts` accepts; the daemon has the last word. */
export const TYPES = [
  'api_key',
  'token',
  'password',
  'certificate',
  'ssh_key',
  'oauth_token',
  'hmac_key',
  'signing_key',
  'encryption_key',
  'generic',
] as const
const ENCODINGS = ['utf8', 'hex', 'base64'] as const
const HEADER_TYPES = ['bearer', 'api_key', 'basic', 'custom'] as const

export interface FactOptions {
  type?: string
  description?: string
  host?: readonly string[]
  tag?: readonly string[]
  meta?: Record<string, string>
  useOnly?: boolean
  allowLegacy?: boolean
  revokeOnRotate?: boolean
  keepVersions?: number
  keyEncoding?: string
  inject?: string
  injectPrefix?: string
  lockInjection?: boolean
  expires?: number | null
}

export function withFactOptions(command: Command): Command {
  return command
    .option('--type <type>', `one of ${TYPES.join(', ')}`, oneOf('--type', TYPES))
    .option('--description <text>', 'what it is for')
    .option('--host <pattern>', 'host its requests may go to, repeatable', list)
    .option('--tag <tag>', 'for policies and lists, repeatable', list)
    .option('--meta <key=value>', 'a fact about it, repeatable', pairs('--meta'))
    .option('--use-only', 'agents may use it, never read it')
    .option('--no-use-only', 'policy decides whether agents may read it')
    .option('--expires <time>', 'when the secret itself ends, or "never"', expiry)
    .option(
      '--inject <type[:name]>',
      'where it goes: bearer, api_key, basic:USERNAME, custom:HEADER',
    )
    .option('--inject-prefix <text>', 'text before the secret in that header')
    .option('--lock-injection', 'refuse agents that ask for another place')
    .option(
      '--key-encoding <encoding>',
      `how the value becomes key bytes: ${ENCODINGS.join(', ')}`,
      oneOf('--key-encoding', ENCODINGS),
    )
    .option('--allow-legacy', 'permit hmac-sha1')
    .option('--no-allow-legacy', 'refuse hmac-sha1')
    .option('--revoke-on-rotate', 'a new version ends the leases on it')
    .option('--no-revoke-on-rotate', 'leases outlive a new version')
    .option(
      '--keep-versions <n>',
      'older versions are destroyed',
      integer('--keep-versions', 1, 100),
    )
}

/** Members of `admin.cred.*`; what was not given is absent and stays as it is. */
export function factsOf(options: FactOptions): Record<string, unknown> {
  const settings = {
    allowed_hosts: options.host,
    inject: injection(options),
    key_encoding: options.keyEncoding,
    use_only: options.useOnly,
    allow_legacy: options.allowLegacy,
    revoke_on_rotate: options.revokeOnRotate,
    keep_versions: options.keepVersions,
  }
  const isSet = Object.values(settings).some((value) => value !== undefined)
  return {
    type: options.type,
    description: options.description,
    tags: options.tag,
    metadata: options.meta,
    expires_at: options.expires,
    ...(isSet && { settings }),
  }
}

/** `bearer`, `api_key:X-Api-Key`, `custom:X-Token`, `basic:username`. */
function injection(options: FactOptions): Record<string, unknown> | undefined {
  const { inject, injectPrefix, lockInjection } = options
  if (inject === undefined) {
    if (injectPrefix === undefined && lockInjection === undefined) return undefined
    throw new VestryError('USAGE', '--lock-injection and --inject-prefix need --inject', {
      hint: 'Say where the secret goes, e.g. --inject bearer',
    })
  }
  const [type = '', ...rest] = inject.split(':')
  const header_type = oneOf('--inject', HEADER_TYPES)(type)
  const name = rest.join(':')
  return {
    header_type,
    ...(name !== '' && (header_type === 'basic' ? { username: name } : { header_name: name })),
    ...(injectPrefix !== undefined && { prefix: injectPrefix }),
    ...(lockInjection !== undefined && { locked: lockInjection }),
  }
}

function expiry(text: string): number | null {
  return text === 'never' ? null : futureMoment('--expires')(text)
}

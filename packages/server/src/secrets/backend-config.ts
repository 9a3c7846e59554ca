/**
 * The configuration of a back end as the wire has it (runtime contract §8.1), with members of ours beside the
 * published ones. Checked here as a whole: what does not belong together is refused before anything is tried.
 */

import { isAbsolute, join, normalize } from 'node:path'
import { accept } from '@vestry/contract/accept'
import { type ErrorCode, VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { BACKEND_TYPES } from './backend.ts'
import type { VaultAuth, VaultSettings } from './hashicorp/settings.ts'
import { AGENT_RULE, isOwner } from './place.ts'

const Text = z.string().min(1).max(4_096)
/** Goes into a header as it is. */
const Token = Text.regex(/^[\x21-\x7e]+$/, 'must be printable characters without spaces')
const Mount = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*$/, 'must be a path such as "secret"')
  .refine((mount) => !/(?:^|\/)\.{1,2}(?:\/|$)/.test(mount), 'must not hold "." or ".."')

const VaultConfig = z.strictObject({
  url: Text,
  auth_method: z.enum(['token', 'kubernetes', 'aws_iam', 'approle']),
  token: Token.optional(),
  role_id: Text.optional(),
  secret_id: Text.optional(),
  kubernetes_role: Text.optional(),
  aws_role: Text.optional(),
  mount: Mount.default('secret'),
  auth_mount: Mount.optional(),
  namespace: Text.regex(/^[A-Za-z0-9_./-]+$/, 'must be a path').optional(),
  ca_file: Text.refine(isAbsolute, 'must be an absolute path').optional(),
  kubernetes_token_path: Text.refine(isAbsolute, 'must be an absolute path').default(
    '/var/run/secrets/kubernetes.io/serviceaccount/token',
  ),
  aws_region: Text.regex(/^[a-z0-9-]+$/, 'must be a region such as "eu-central-1"').optional(),
  aws_server_id: Token.optional(),
  request_timeout_seconds: z.int().min(1).max(60).default(30),
})

const Shape = z.strictObject({
  backend_type: z.enum(BACKEND_TYPES),
  vault_config: VaultConfig.optional(),
  file_path: Text.optional(),
  encryption_key: Text.optional(),
  /** The file's key is kept in the OS keychain, and made there when there is none. */
  key_in_keychain: z.boolean().default(false),
  /** Older contents of the file that are kept. */
  backups: z.int().min(0).max(20).default(0),
  /** Whose the secrets of a file become that knows no agents. */
  import_agent: z.string().refine(isOwner, `must be ${AGENT_RULE}`).optional(),
})

/** Checked, and as it is kept: sealed, with its credentials. */
export type BackendConfig =
  | { readonly type: 'vestry' }
  | { readonly type: 'vault'; readonly vault: VaultSettings }
  | {
      readonly type: 'encrypted_file'
      /** Absolute. */
      readonly path: string
      /** Absent: in the keychain, or the master key of the environment. */
      readonly key: string | undefined
      readonly keyInKeychain: boolean
      readonly backups: number
      readonly importAgent: string | undefined
    }
  | { readonly type: 'os_keychain' }

/** Hosts that plain http reaches without leaving the machine. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/**
 * @param where.dataDir For relative paths, and for the default one.
 * @param where.hasMasterKey The environment has a key for the file.
 * @throws VestryError `code` naming the member; no value is repeated.
 */
export function readBackendConfig(
  given: unknown,
  where: { dataDir: string; hasMasterKey: boolean },
  code: ErrorCode = 'INVALID_PARAMS',
): BackendConfig {
  const config = accept(Shape, withoutNulls(given), code)
  const wrong = (member: string, problem: string): VestryError =>
    new VestryError(code, `${member}: ${problem}`)
  const misplaced = misplacedMember(config)
  if (misplaced !== undefined)
    throw wrong(misplaced, `does not belong to backend_type "${config.backend_type}"`)
  switch (config.backend_type) {
    case 'vestry':
      return { type: 'vestry' }
    case 'os_keychain':
      return { type: 'os_keychain' }
    case 'encrypted_file': {
      const { encryption_key: key, key_in_keychain: keyInKeychain } = config
      if (key !== undefined && keyInKeychain)
        throw wrong('encryption_key', 'is given, although key_in_keychain keeps it elsewhere')
      if (key === undefined && !keyInKeychain && !where.hasMasterKey)
        throw wrong('encryption_key', 'is required (or key_in_keychain, or SYMBIONT_MASTER_KEY)')
      const path = filePath(config.file_path ?? 'secrets.enc', where.dataDir)
      if (path === undefined)
        throw wrong('file_path', 'must name a file, inside the data directory if relative')
      const { backups, import_agent: importAgent } = config
      return { type: 'encrypted_file', path, key, keyInKeychain, backups, importAgent }
    }
    case 'vault': {
      if (config.vault_config === undefined) throw wrong('vault_config', 'is required')
      return { type: 'vault', vault: vaultSettings(config.vault_config, wrong) }
    }
    default:
      return config.backend_type satisfies never
  }
}

/** What may be told of it: no token, secret id or key. */
export function describeConfig(config: BackendConfig): Record<string, unknown> {
  switch (config.type) {
    case 'vault': {
      const { url, mount, namespace, auth } = config.vault
      return { url, mount, ...(namespace !== undefined && { namespace }), auth_method: auth.method }
    }
    case 'encrypted_file':
      return {
        file: config.path.split('/').at(-1),
        key: config.keyInKeychain ? 'keychain' : config.key === undefined ? 'environment' : 'given',
        backups: config.backups,
      }
    default:
      return {}
  }
}

/** The SDK sends every member, and null for what nobody set. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([name, member]) => [name, withoutNulls(member)]),
  )
}

function misplacedMember(config: z.output<typeof Shape>): string | undefined {
  const file = config.backend_type === 'encrypted_file'
  if (config.backend_type !== 'vault' && config.vault_config !== undefined) return 'vault_config'
  if (file) return undefined
  if (config.file_path !== undefined) return 'file_path'
  if (config.encryption_key !== undefined) return 'encryption_key'
  if (config.key_in_keychain) return 'key_in_keychain'
  if (config.backups > 0) return 'backups'
  return config.import_agent === undefined ? undefined : 'import_agent'
}

function filePath(given: string, dataDir: string): string | undefined {
  if (given.includes('\0') || given.endsWith('/')) return undefined
  if (isAbsolute(given)) return normalize(given)
  const path = join(dataDir, given)
  return path.startsWith(`${normalize(dataDir).replace(/\/$/, '')}/`) ? path : undefined
}

type Wrong = (member: string, problem: string) => VestryError

function vaultSettings(config: z.output<typeof VaultConfig>, wrong: Wrong): VaultSettings {
  const auth = authOf(config, wrong)
  return {
    url: baseUrl(config.url, wrong),
    mount: config.mount,
    authMount:
      config.auth_mount ??
      { approle: 'approle', kubernetes: 'kubernetes', aws_iam: 'aws', token: 'token' }[auth.method],
    namespace: config.namespace,
    caFile: config.ca_file,
    requestTimeoutMs: config.request_timeout_seconds * 1_000,
    auth,
  }
}

function authOf(config: z.output<typeof VaultConfig>, wrong: Wrong): VaultAuth {
  const need = (
    name: 'token' | 'role_id' | 'secret_id' | 'kubernetes_role' | 'aws_role',
  ): string => {
    const value = config[name]
    if (value !== undefined) return value
    throw wrong(`vault_config.${name}`, `is required for auth_method "${config.auth_method}"`)
  }
  switch (config.auth_method) {
    case 'token':
      return { method: 'token', token: need('token') }
    case 'approle':
      return { method: 'approle', roleId: need('role_id'), secretId: need('secret_id') }
    case 'kubernetes':
      return {
        method: 'kubernetes',
        role: need('kubernetes_role'),
        tokenPath: config.kubernetes_token_path,
      }
    case 'aws_iam':
      return {
        method: 'aws_iam',
        role: need('aws_role'),
        region: config.aws_region,
        serverId: config.aws_server_id,
      }
    default:
      return config.auth_method satisfies never
  }
}

function baseUrl(text: string, wrong: Wrong): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw wrong('vault_config.url', 'must be an https address')
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw wrong('vault_config.url', 'must not hold a login, a query or a fragment')
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname))
    throw wrong(
      'vault_config.url',
      'must be https: plain http would show tokens and secrets on the way',
    )
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

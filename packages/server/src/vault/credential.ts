/** What a credential is: its names, its clear metadata and the bounds on both. Pure. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { checkInjection, HEADER_TYPES, type InjectionSpec } from '../egress/injection.ts'

export const MAX_VALUE_BYTES = 65_536
export const MAX_PATH_BYTES = 512
/** Versions kept by default; older ones are destroyed, oldest first. */
export const KEEP_VERSIONS = 10
export const UNDELETE_WITHIN_MS = 30 * 24 * 3_600_000

export const CREDENTIAL_TYPES = [
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

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._@+=:-]{0,127}$/

/** wire contract §6.1: 1–16 segments of 1–128 characters, 512 bytes in all, no `.` or `..`. */
export function isPath(path: string): boolean {
  if (path.length === 0 || path.length > MAX_PATH_BYTES) return false
  const segments = path.split('/')
  return segments.length <= 16 && segments.every((segment) => SEGMENT.test(segment))
}

export const PATH_HINT =
  'Use 1–16 segments of letters, digits and . _ @ + = : - joined by "/", such as openai/api_key'

/** @throws VestryError INVALID_PARAMS unless `path` is a well-formed credential path. */
export function assertPath(path: unknown): asserts path is string {
  if (typeof path === 'string' && isPath(path)) return
  throw new VestryError('INVALID_PARAMS', 'path is not a valid credential path', {
    hint: PATH_HINT,
    context: { param: 'path' },
  })
}

/** How an operator fixes the place of the secret in an outbound request. */
export const Injection = z
  .strictObject({
    header_type: z.enum(HEADER_TYPES),
    header_name: z.string().min(1).max(128).optional(),
    prefix: z.string().max(256).optional(),
    username: z.string().max(256).optional(),
    /** Differing parameters of the agent are refused instead of used. */
    locked: z.boolean().default(false),
  })
  .check(({ value, issues }) => {
    try {
      checkInjection(injectionSpec(value))
    } catch (error) {
      const message = error instanceof VestryError ? error.message : 'is not usable'
      issues.push({ code: 'custom', message, input: value })
    }
  })
export type Injection = z.output<typeof Injection>

/** The binding in the terms of the outbound door. */
export function injectionSpec({
  header_type: headerType,
  header_name: headerName,
  prefix: headerPrefix,
  username,
}: Omit<Injection, 'locked'>): InjectionSpec {
  return {
    headerType,
    ...(headerName !== undefined && { headerName }),
    ...(headerPrefix !== undefined && { headerPrefix }),
    ...(username !== undefined && { username }),
  }
}

/** What an operator says about a credential beside its value. All of it is visible to operators. */
export const CredentialSettings = z.strictObject({
  /** Host patterns of wire contract §8.1 every request with this credential must match. */
  allowed_hosts: z.array(z.string().min(1).max(512)).max(64).optional(),
  inject: Injection.optional(),
  /** How the stored bytes turn into key bytes for `sign` and `verify`. */
  key_encoding: z.enum(['utf8', 'hex', 'base64']).default('utf8'),
  /** The value itself never leaves: `retrieve` is refused whatever policy says. */
  use_only: z.boolean().default(false),
  /** Permits hmac-sha1. */
  allow_legacy: z.boolean().default(false),
  /** Live leases end when a new version is written. */
  revoke_on_rotate: z.boolean().default(false),
  keep_versions: z.int().min(1).max(100).default(KEEP_VERSIONS),
})
export type CredentialSettings = z.output<typeof CredentialSettings>

const Metadata = z
  .record(z.string().min(1).max(128), z.string().max(512))
  .refine((pairs) => Object.keys(pairs).length <= 64, 'at most 64 pairs')

/** The clear part of a credential, as `admin.cred.put` takes it. */
export const CredentialFacts = z.strictObject({
  type: z.enum(CREDENTIAL_TYPES).nullable().default(null),
  description: z.string().max(1024).nullable().default(null),
  tags: z.array(z.string().min(1).max(128)).max(64).default([]),
  metadata: Metadata.default({}),
  settings: CredentialSettings.prefault({}),
  /** Epoch ms of the secret's own expiry, if known. */
  expires_at: z.int().nullable().default(null),
})
export type CredentialFacts = z.output<typeof CredentialFacts>

/** One credential without its value. Times are epoch ms. */
export interface Credential extends CredentialFacts {
  readonly path: string
  readonly version: number
  readonly min_decrypt_version: number
  readonly created_at: number
  readonly updated_at: number
  readonly deleted_at: number | null
}

export interface CredentialVersion {
  readonly path: string
  readonly version: number
  readonly created_at: number
  readonly created_by: string
  readonly destroyed_at: number | null
  readonly encryptions: number
}

/** Operations whose result is the secret. */
const REVEALING: readonly string[] = ['retrieve', 'unwrap', 'use:http_header']

/** What is left of `operations` once the operator has said that the value never leaves. */
export function withoutRevealing(
  operations: readonly string[],
  { settings }: CredentialFacts,
): readonly string[] {
  return settings.use_only ? operations.filter((name) => !REVEALING.includes(name)) : operations
}

/** @throws VestryError ACCESS_DENIED for a credential that may be used and never read, whatever policy says. */
export function assertNotUseOnly({ path, settings }: Credential, action: string): void {
  if (!settings.use_only) return
  throw new VestryError('ACCESS_DENIED', `'${path}' can be used, not read`, {
    hint: 'Call "use" with http_request, sign, encrypt … instead: the secret then stays in the vault',
    context: { action, path, reason_code: 'use_only', legacy_code: 'POLICY_DENIED' },
  })
}

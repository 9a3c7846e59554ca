/** Credentials: write, generate, rotate, roll back, remove, reveal, import. Values arrive as bytes. */
import { generateKeyPairSync, randomFillSync } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { parseHostPattern } from '../policy/host.ts'
import { decodeBase64Bytes, encodeBase64UrlBytes } from '../seal/bytes-text.ts'
import { type Secret, unpooled } from '../seal/secret.ts'
import {
  type Credential,
  CredentialFacts,
  CredentialSettings,
  isPath,
  MAX_VALUE_BYTES,
  PATH_HINT,
} from '../vault/credential.ts'
import { type AdminCall, type AdminVerb, verb } from './verb.ts'

/** Checked before anything is recorded: what is no path may be a value in the wrong place. */
const Path = z.string().refine(isPath, PATH_HINT)
/** Facts as a request carries them: absent members keep what is there. */
const Facts = z.strictObject({
  type: CredentialFacts.shape.type.unwrap().optional(),
  description: z.string().max(1024).nullable().optional(),
  tags: CredentialFacts.shape.tags.unwrap().optional(),
  metadata: CredentialFacts.shape.metadata.unwrap().optional(),
  settings: z
    .strictObject({
      allowed_hosts: CredentialSettings.shape.allowed_hosts,
      inject: CredentialSettings.shape.inject,
      key_encoding: CredentialSettings.shape.key_encoding.unwrap().optional(),
      use_only: z.boolean().optional(),
      allow_legacy: z.boolean().optional(),
      revoke_on_rotate: z.boolean().optional(),
      keep_versions: CredentialSettings.shape.keep_versions.unwrap().optional(),
    })
    .optional(),
  expires_at: z.int().nullable().optional(),
})
const DEFAULT_FACTS = CredentialFacts.parse({})

export function describeCredential(credential: Credential): Record<string, unknown> {
  const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return {
    path: credential.path,
    type: credential.type,
    description: credential.description,
    tags: credential.tags,
    metadata: credential.metadata,
    settings: credential.settings,
    version: credential.version,
    min_decrypt_version: credential.min_decrypt_version,
    created_at: iso(credential.created_at),
    updated_at: iso(credential.updated_at),
    expires_at: iso(credential.expires_at),
    deleted_at: iso(credential.deleted_at),
  }
}

async function mergeFacts(
  { deps: { vault } }: AdminCall<unknown>,
  path: string,
  facts: z.output<typeof Facts>,
): Promise<Partial<CredentialFacts>> {
  for (const host of facts.settings?.allowed_hosts ?? []) parseHostPattern(host)
  const { settings, ...rest } = facts
  const known = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  if (settings === undefined) return known
  const before = (await vault.credentials.find(path))?.settings ?? {}
  const given = Object.fromEntries(
    Object.entries(settings).filter(([, value]) => value !== undefined),
  )
  return { ...known, settings: CredentialSettings.parse({ ...before, ...given }) }
}

/** The lifted `value_base64`, decoded from bytes to bytes; the caller wipes it. */
function readValue(secrets: ReadonlyMap<string, Secret>): Uint8Array {
  const text = secrets.get('value_base64')
  if (text === undefined) throw new VestryError('INVALID_PARAMS', 'value_base64 is required')
  let value: Uint8Array
  try {
    value = decodeBase64Bytes(text.bytes)
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', 'value_base64 is not base64', { cause })
  }
  if (value.length <= MAX_VALUE_BYTES) return value
  value.fill(0)
  throw new VestryError('INVALID_PARAMS', `the value is larger than ${MAX_VALUE_BYTES} bytes`)
}

async function write(
  call: AdminCall<{ path: string; expected_version?: number | undefined }>,
  value: Uint8Array,
  facts: Partial<CredentialFacts>,
): Promise<Record<string, unknown>> {
  const {
    deps: { vault },
    params,
    by,
    note,
  } = call
  const { value: credential, generation } = await vault.credentials.put(
    params.path,
    value,
    facts,
    { createdBy: `operator:${by}`, expectedVersion: params.expected_version },
    DEFAULT_FACTS,
  )
  if (credential.version > 1 && credential.settings.revoke_on_rotate) {
    vault.leases.revoke({ path: params.path }, 'credential_rotated', vault.now())
  }
  vault.egress.dropCredential(params.path)
  note({ version: credential.version, generation })
  return describeCredential(credential)
}

/** Fresh key material of one kind; `public_key` is safe to show. */
function generate(kind: 'aes256' | 'hmac' | 'ed25519' | 'password'): {
  value: Uint8Array
  facts: Partial<CredentialFacts>
  publicKey?: string
} {
  const settings = CredentialSettings.parse({})
  const random = (length: number) => randomFillSync(unpooled(length))
  switch (kind) {
    case 'aes256':
      return { value: random(32), facts: { type: 'encryption_key', settings } }
    case 'hmac':
      return { value: random(32), facts: { type: 'hmac_key', settings } }
    case 'password': {
      const bytes = random(24)
      const value = encodeBase64UrlBytes(bytes)
      bytes.fill(0)
      return { value, facts: { type: 'password', settings } }
    }
    case 'ed25519': {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      const der = privateKey.export({ type: 'pkcs8', format: 'der' })
      const value = unpooled(32)
      value.set(der.subarray(der.length - 32)) // RFC 8410: the seed ends the structure
      der.fill(0)
      const spki = publicKey.export({ type: 'spki', format: 'der' })
      return {
        value,
        facts: { type: 'signing_key', settings },
        publicKey: spki.subarray(spki.length - 32).toString('hex'),
      }
    }
  }
}

export const credentialVerbs: readonly AdminVerb[] = [
  verb({
    name: 'cred.put',
    action: 'admin:write',
    event: 'credential.store',
    params: z.strictObject({
      path: Path,
      value_base64: z.literal(''),
      expected_version: z.int().min(0).optional(),
      ...Facts.shape,
    }),
    data: ({ path }) => ({ path }),
    run: async (call) => {
      const { path, value_base64: _, expected_version: __, ...facts } = call.params
      const merged = await mergeFacts(call, path, facts)
      const value = readValue(call.secrets)
      try {
        return await write(call, value, merged)
      } finally {
        value.fill(0)
      }
    },
  }),
  verb({
    name: 'cred.generate',
    action: 'admin:write',
    event: 'credential.store',
    params: z.strictObject({
      path: Path,
      kind: z.enum(['aes256', 'hmac', 'ed25519', 'password']),
      expected_version: z.int().min(0).optional(),
      ...Facts.shape,
    }),
    data: ({ path, kind }) => ({ path, kind }),
    run: async (call) => {
      const { path, kind, expected_version: _, ...facts } = call.params
      const merged = await mergeFacts(call, path, facts)
      const made = generate(kind)
      try {
        const written = await write(call, made.value, { ...made.facts, ...merged })
        return made.publicKey === undefined ? written : { ...written, public_key: made.publicKey }
      } finally {
        made.value.fill(0)
      }
    },
  }),
  verb({
    name: 'cred.amend',
    action: 'admin:write',
    event: 'credential.update',
    params: z.strictObject({
      path: Path,
      min_decrypt_version: z.int().min(1).optional(),
      ...Facts.shape,
    }),
    data: ({ path }) => ({ path }),
    run: async (call) => {
      const { path, min_decrypt_version, ...facts } = call.params
      const merged = await mergeFacts(call, path, facts)
      const { value, generation } = await call.deps.vault.credentials.amend(
        path,
        merged,
        min_decrypt_version,
      )
      call.deps.vault.egress.dropCredential(path)
      call.note({ generation })
      return describeCredential(value)
    },
  }),
  verb({
    name: 'cred.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({
      prefix: z.string().max(512).default(''),
      tag: z.string().max(128).optional(),
      after: z.string().max(512).default(''),
      limit: z.int().min(1).max(5_000).default(1_000),
    }),
    run: async ({ deps, params }) => {
      const credentials: Record<string, unknown>[] = []
      let more = false
      for await (const credential of deps.vault.credentials.all(params)) {
        if (params.tag !== undefined && !credential.tags.includes(params.tag)) continue
        if (credentials.length === params.limit) {
          more = true
          break
        }
        credentials.push(describeCredential(credential))
      }
      return { credentials, ...(more && { next_after: credentials.at(-1)?.['path'] }) }
    },
  }),
  verb({
    name: 'cred.show',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ path: Path }),
    data: ({ path }) => ({ path }),
    run: async ({ deps, params }) => {
      const shown = await deps.vault.credentials.show(params.path)
      if (shown === undefined) throw notFound(params.path)
      return {
        ...describeCredential(shown.credential),
        versions: shown.versions.map((version) => ({
          version: version.version,
          created_at: new Date(version.created_at).toISOString(),
          created_by: version.created_by,
          destroyed: version.destroyed_at !== null,
        })),
        leases: deps.vault.leases.list({ path: params.path }).length,
      }
    },
  }),
  verb({
    name: 'cred.rollback',
    action: 'admin:write',
    event: 'credential.rotate',
    params: z.strictObject({ path: Path, version: z.int().min(1) }),
    data: ({ path, version }) => ({ path, from_version: version }),
    run: async ({ deps: { vault }, params, by, note }) => {
      const done = await vault.credentials.rollback(params.path, params.version, `operator:${by}`)
      vault.egress.dropCredential(params.path)
      note({ version: done.value.version, generation: done.generation })
      return describeCredential(done.value)
    },
  }),
  verb({
    name: 'cred.rm',
    action: 'admin:write',
    event: 'credential.delete',
    params: z.strictObject({ path: Path }),
    data: ({ path }) => ({ path }),
    run: async ({ deps: { vault }, params, note }) => {
      const { value, generation } = await vault.credentials.remove(params.path)
      const revoked = vault.leases.revoke({ path: params.path }, 'credential_deleted', vault.now())
      vault.egress.dropCredential(params.path)
      note({ generation, leases_revoked: revoked.length })
      return { ...describeCredential(value), leases_revoked: revoked.length }
    },
  }),
  verb({
    name: 'cred.undelete',
    action: 'admin:write',
    event: 'credential.undelete',
    params: z.strictObject({ path: Path }),
    data: ({ path }) => ({ path }),
    run: async ({ deps, params, note }) => {
      const { value, generation } = await deps.vault.credentials.undelete(params.path)
      note({ generation })
      return describeCredential(value)
    },
  }),
  verb({
    name: 'cred.destroy',
    action: 'admin:write',
    event: 'credential.destroy',
    params: z.strictObject({
      path: Path,
      versions: z.array(z.int().min(1)).min(1).max(100).optional(),
    }),
    data: ({ path }) => ({ path }),
    run: async ({ deps: { vault }, params, note }) => {
      const { value: destroyed, generation } = await vault.credentials.destroy(
        params.path,
        params.versions,
      )
      if (params.versions === undefined) {
        vault.leases.revoke({ path: params.path }, 'credential_deleted', vault.now())
      }
      vault.egress.dropCredential(params.path)
      note({ generation, versions: destroyed })
      return { path: params.path, destroyed }
    },
  }),
  verb({
    name: 'cred.reveal',
    action: 'admin:write',
    event: 'credential.reveal',
    params: z.strictObject({ path: Path, version: z.int().min(1).optional() }),
    data: ({ path }) => ({ path, severity: 'critical' }),
    run: async ({ deps, params, note }) => {
      const { secret, version } = await deps.vault.credentials.open(params.path, params.version)
      note({ version })
      return {
        result: { path: params.path, version },
        secrets: [{ name: 'value', value: secret, as: 'hex' as const }],
        release: () => secret[Symbol.dispose](),
      }
    },
  }),
  verb({
    name: 'cred.exists',
    action: 'admin:read',
    event: 'admin.read',
    // An import asks about every name of its file, odd ones included.
    params: z.strictObject({ paths: z.array(z.string().min(1).max(512)).max(10_000) }),
    run: async ({ deps, params }) => {
      const existing: string[] = []
      for (const path of params.paths) {
        if ((await deps.vault.credentials.find(path)) !== undefined) existing.push(path)
      }
      return { existing }
    },
  }),
]

function notFound(path: string): VestryError {
  return new VestryError('NOT_FOUND', `no credential '${path}'`, { hint: 'See "vestry cred list"' })
}

/** Signing keys for operators. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { SigningKeys } from './key-store.ts'
import { KEY_ID, REVOKE_REASONS, type SigningKey } from './signing-key.ts'
import { discoveryUrl } from './well-known.ts'

export interface KeyVerbDeps {
  readonly keys: SigningKeys
  /** Of keys that nobody named a domain for. */
  readonly settings: { readonly signing_domain: string; readonly signing_developer: string }
}

const KeyId = z
  .string()
  .regex(KEY_ID, 'must be 1 to 128 of A-Z, a-z, 0-9 and ._:@-, beginning with a letter or digit')
/** As `Host` names it: a name, and a port where the usual one is not used. */
const Domain = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::\d{1,5})?$/,
    'must be a host name in lower case, with or without a port',
  )

export function keyVerbs({ keys, settings }: KeyVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'signing_key.add',
      action: 'admin:write',
      event: 'signing_key.create',
      params: z.strictObject({
        key_id: KeyId,
        domain: Domain.nullish(),
        developer_name: z
          .string()
          .regex(/^[^\p{C}]{1,128}$/u, 'must be 1 to 128 characters that can be seen')
          .nullish(),
      }),
      data: ({ key_id, domain }) => ({ key_id, domain: domain ?? settings.signing_domain }),
      run: async ({ params, note }) => {
        const { value: key, generation } = await keys.add({
          id: params.key_id,
          domain: params.domain ?? settings.signing_domain,
          developerName: params.developer_name ?? settings.signing_developer,
        })
        note({ generation, fingerprint: key.fingerprint })
        return describeSigningKey(key)
      },
    }),
    verb({
      name: 'signing_key.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => ({ keys: (await keys.list()).map(describeSigningKey) }),
    }),
    verb({
      name: 'signing_key.revoke',
      action: 'admin:write',
      event: 'signing_key.revoke',
      params: z.strictObject({
        key_id: KeyId,
        reason: z.enum(REVOKE_REASONS).nullish(),
      }),
      data: ({ key_id, reason }) => ({ key_id, reason: reason ?? 'superseded' }),
      run: async ({ params, note }) => {
        const { value: key, generation } = await keys.revoke(
          params.key_id,
          params.reason ?? 'superseded',
        )
        note({ generation, fingerprint: key.fingerprint })
        return describeSigningKey(key)
      },
    }),
  ]
}

/** Never the private key, which only signing opens. */
export function describeSigningKey(key: SigningKey): Record<string, unknown> {
  const { id, domain, developerName, publicKeyPem, fingerprint, createdAt, revoked } = key
  return {
    key_id: id,
    domain,
    developer_name: developerName,
    public_key_pem: publicKeyPem,
    public_key_url: discoveryUrl(domain),
    key_fingerprint: fingerprint,
    status: revoked === undefined ? 'active' : 'revoked',
    created_at: new Date(createdAt).toISOString(),
    revoked_at: revoked === undefined ? null : new Date(revoked.at).toISOString(),
    revoked_reason: revoked?.reason ?? null,
  }
}

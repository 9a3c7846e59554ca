/** Signing and verifying put together: keys, signatures, pins, and what is published of them. */
import { VestryError } from '@vestry/contract/errors'
import type { AdminVerb } from '../admin/verb.ts'
import type { AuditLog } from '../audit/log.ts'
import type { EgressDeps } from '../egress/send.ts'
import { systemTxt, type TxtLookup } from '../egress/txt-records.ts'
import type { RowGuard } from '../identity/row-guard.ts'
import type { RecordKeys } from '../seal/record.ts'
import type { Store } from '../store/store.ts'
import { KeyLookup } from './pins/key-lookup.ts'
import { PinStore } from './pins/pin-store.ts'
import { pinVerbs } from './pins/pin-verbs.ts'
import { Verifier } from './pins/verifier.ts'
import { SigningKeys } from './signing/key-store.ts'
import { keyVerbs } from './signing/key-verbs.ts'
import { Signatures } from './signing/signatures.ts'
import type { SigningKey } from './signing/signing-key.ts'
import { discoveryDocument, domainFor, revocationDocument } from './signing/well-known.ts'
import { verifyVerb } from './verify-verb.ts'

export interface SigningPartDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  readonly keys: () => RecordKeys
  readonly audit: Pick<AuditLog, 'append'>
  readonly egress: EgressDeps
  readonly txt?: TxtLookup
  /** Epoch ms. */
  readonly now: () => number
  readonly settings: {
    readonly signing_domain: string
    readonly signing_developer: string
    readonly insecure_key_discovery: boolean
  }
  /** Where people put keys of their own. */
  readonly keyDir: string
}

export interface SigningPart {
  readonly keys: SigningKeys
  readonly signatures: Signatures
  readonly pins: PinStore
  readonly verifier: Verifier
  readonly verbs: readonly AdminVerb[]
  /** The vault is open. @throws VestryError `CONFIG_INVALID` for a key file that may not be used. */
  open(): Promise<void>
  /** What is published, by the `Host` that was asked. Told while sealed too, once it was known. */
  readonly wellKnown: {
    /** @throws VestryError `SIGNING_KEY_NOT_FOUND`, `NOT_READY` */
    discovery(host: string | undefined): Promise<Record<string, unknown>>
    revocations(host: string | undefined): Promise<Record<string, unknown>>
  }
}

export function assembleSigning(deps: SigningPartDeps): SigningPart {
  const { store, guard, audit, egress, now, settings } = deps
  const keys = new SigningKeys({ store, guard, keys: deps.keys, now })
  const signatures = new Signatures({ store, guard, keys, now })
  const pins = new PinStore({ store, guard, now })
  const lookup = new KeyLookup({
    egress,
    txt: deps.txt ?? systemTxt,
    audit,
    insecure: settings.insecure_key_discovery,
  })
  const verifier = new Verifier({ keys, pins, lookup, now })
  /** Public, so it may be told while the vault is sealed. */
  let published: readonly SigningKey[] | undefined
  const publish = async (): Promise<readonly SigningKey[]> => {
    try {
      published = await keys.list()
      return published
    } catch (error) {
      const isSealed = error instanceof VestryError && error.code === 'VAULT_LOCKED'
      if (!isSealed) throw error
      if (published === undefined) throw new VestryError('NOT_READY', undefined, { cause: error })
      return published
    }
  }
  return {
    keys,
    signatures,
    pins,
    verifier,
    verbs: [
      ...keyVerbs({ keys, settings }),
      ...pinVerbs({ pins, lookup }),
      verifyVerb({ verifier, signatures }),
    ],
    open: async () => {
      const identity = {
        domain: settings.signing_domain,
        developerName: settings.signing_developer,
      }
      for (const { value: key, generation, imported } of await keys.open(identity, deps.keyDir)) {
        const { id, domain, fingerprint } = key
        await audit.append(
          {
            action: 'signing_key.create',
            phase: 'single',
            detail: `signing key ${id} was ${imported ? 'imported' : 'made'}`,
            success: true,
            actor: 'system',
            source: 'review',
            data: { key_id: id, domain, fingerprint, imported, generation },
          },
          'synced',
        )
      }
      await publish()
    },
    wellKnown: {
      discovery: async (host) => {
        const all = await publish()
        const domain = domainFor(all, host)
        const document = domain && discoveryDocument(all, domain)
        if (document) return document
        throw new VestryError('SIGNING_KEY_NOT_FOUND', 'No signing key of this domain is in force')
      },
      revocations: async (host) => {
        const all = await publish()
        const domain = domainFor(all, host)
        if (domain !== undefined) return revocationDocument(all, domain)
        throw new VestryError('SIGNING_KEY_NOT_FOUND', 'This domain has no signing keys')
      },
    },
  }
}

/**
 * Signatures of reviewed tools, on disk: one per review. Whether a review may be signed is decided elsewhere; that
 * what is stored verifies is seen to here.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Changed, RowGuard } from '../../identity/row-guard.ts'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import { indexText } from '../index-text.ts'
import { digestOfText, documentJson, documentOf } from '../normalise.ts'
import type { ToolDocument } from '../tool-document.ts'
import type { SigningKeys } from './key-store.ts'
import { readPublicKey } from './public-key.ts'
import { PROFILES, type Profile, verifyText } from './schemapin.ts'

export interface SignatureDeps {
  readonly store: Pick<Store, 'db' | 'change'>
  readonly guard: RowGuard
  readonly keys: SigningKeys
  /** Epoch ms. */
  readonly now: () => number
}

export interface ToolSignature {
  readonly reviewId: string
  readonly document: ToolDocument
  /** The exact text that was signed. */
  readonly canonicalJson: string
  readonly schemaHash: string
  readonly signature: string
  readonly profile: Profile
  readonly keyId: string
  readonly keyFingerprint: string
  /** Domain of the key when it signed. */
  readonly signerId: string
  readonly signedAt: number
  /** Of the tool of that name and provider that was signed before and differs. */
  readonly previousHash: string | undefined
}

export interface SignRequest {
  readonly reviewId: string
  readonly keyId: string
  /** `A` unless told. */
  readonly profile?: Profile
}

type SignatureRow = Tables['tool_signature']

export class Signatures {
  readonly #deps: SignatureDeps

  constructor(deps: SignatureDeps) {
    this.#deps = deps
  }

  /**
   * Signs the tool of a review. The same key again gives what is stored, so an attempt that was cut short can be
   * repeated.
   *
   * @returns `generation` is undefined for a signature that was there already.
   * @throws VestryError `SIGNATURE_CONFLICT` for a review signed with another key, `SIGNING_KEY_NOT_FOUND`,
   *   `INVALID_STATE_TRANSITION` for a revoked key, `SIGNING_FAILED`, `VAULT_LOCKED`.
   */
  async sign(
    document: ToolDocument,
    { reviewId, keyId, profile = 'A' }: SignRequest,
  ): Promise<{ readonly value: ToolSignature; readonly generation: number | undefined }> {
    const before = await this.find(reviewId)
    if (before !== undefined) return { value: sameKey(before, keyId), generation: undefined }
    const text = documentJson(document)
    const { key, signature } = await this.#deps.keys.sign(keyId, text, profile)
    const schemaHash = digestOfText(text)
    // Whoever reads it back must come to the very text that was signed.
    if (documentJson(documentOf(text)) !== text)
      throw new VestryError('SIGNING_FAILED', 'The signed text does not read back as it was')
    const facts = {
      id: reviewId,
      tool_name: indexText(document.name),
      provider_name: indexText(document.provider.name),
      canonical_json: text,
      schema_hash: schemaHash,
      signature,
      profile,
      signing_key_id: keyId,
      key_fingerprint: key.fingerprint,
      signer_id: key.domain,
      signed_at: this.#deps.now(),
      previous_hash: await this.#previousHash(document, schemaHash),
    }
    return this.#insert(facts, keyId)
  }

  /** @throws VestryError `STORE_CORRUPT` */
  async find(reviewId: string): Promise<ToolSignature | undefined> {
    const row = await this.#deps.store.db
      .selectFrom('tool_signature')
      .selectAll()
      .where('id', '=', reviewId)
      .executeTakeFirst()
    return row && this.#open(row)
  }

  /** Of exactly this document, newest first. @throws VestryError `STORE_CORRUPT` */
  async ofHash(schemaHash: string): Promise<ToolSignature[]> {
    const rows = await this.#deps.store.db
      .selectFrom('tool_signature')
      .selectAll()
      .where('schema_hash', '=', schemaHash)
      .orderBy('signed_at', 'desc')
      .orderBy('id', 'desc')
      .execute()
    return rows.map((row) => this.#open(row))
  }

  /**
   * Of tools of this name, newest first.
   *
   * @param provider Of any unless told.
   * @throws VestryError `STORE_CORRUPT`
   */
  async ofTool(name: string, provider?: string): Promise<ToolSignature[]> {
    let query = this.#deps.store.db
      .selectFrom('tool_signature')
      .selectAll()
      .where('tool_name', '=', indexText(name))
    if (provider !== undefined) query = query.where('provider_name', '=', indexText(provider))
    const rows = await query.orderBy('signed_at', 'desc').orderBy('id', 'desc').execute()
    return rows.map((row) => this.#open(row))
  }

  /** Whether it still counts: by its bytes, and by what has become of its key. */
  async standing(signed: ToolSignature): Promise<'valid' | 'signature_invalid' | 'key_revoked'> {
    const key = await this.#deps.keys.find(signed.keyId)
    if (key === undefined || key.fingerprint !== signed.keyFingerprint) return 'signature_invalid'
    if (key.revoked !== undefined) return 'key_revoked'
    const published = readPublicKey(key.publicKeyPem)
    const { canonicalJson, signature, profile } = signed
    return published && verifyText(canonicalJson, signature, published.key, [profile]) === profile
      ? 'valid'
      : 'signature_invalid'
  }

  async #previousHash(document: ToolDocument, schemaHash: string): Promise<string | null> {
    const earlier = await this.ofTool(document.name, document.provider.name)
    return earlier.find((one) => one.schemaHash !== schemaHash)?.schemaHash ?? null
  }

  async #insert(
    facts: Omit<SignatureRow, 'mac'>,
    keyId: string,
  ): Promise<{ value: ToolSignature; generation: number | undefined }> {
    const { store, guard } = this.#deps
    const row = { ...facts, mac: guard.mac('tool_signature', facts.id, facts) }
    const { value: existing, generation }: Changed<SignatureRow | undefined> = await store.change(
      async (trx) => {
        const other = await trx
          .selectFrom('tool_signature')
          .selectAll()
          .where('id', '=', facts.id)
          .executeTakeFirst()
        if (other === undefined) await trx.insertInto('tool_signature').values(row).execute()
        return other
      },
    )
    if (existing === undefined) return { value: this.#open(row), generation }
    return { value: sameKey(this.#open(existing), keyId), generation: undefined }
  }

  #open({ mac, ...row }: SignatureRow): ToolSignature {
    this.#deps.guard.check('tool_signature', row.id, row, mac)
    return {
      reviewId: row.id,
      document: documentOf(row.canonical_json),
      canonicalJson: row.canonical_json,
      schemaHash: row.schema_hash,
      signature: row.signature,
      profile: PROFILES.find((profile) => profile === row.profile) ?? 'A',
      keyId: row.signing_key_id,
      keyFingerprint: row.key_fingerprint,
      signerId: row.signer_id,
      signedAt: row.signed_at,
      previousHash: row.previous_hash ?? undefined,
    }
  }
}

function sameKey(signed: ToolSignature, keyId: string): ToolSignature {
  if (signed.keyId === keyId) return signed
  throw new VestryError(
    'SIGNATURE_CONFLICT',
    `This review was signed with the key "${signed.keyId}"`,
    {
      hint: 'A signature stays; submit the tool again to have it signed with another key.',
    },
  )
}

/**
 * Whether a signature over a tool counts: the steps of SchemaPin in their order, the first that fails is the answer.
 * A key is bound to its tool after its signature held, never before.
 */
import { VestryError } from '@vestry/contract/errors'
import { type JsonValue, schemapinCanonical } from '@vestry/contract/schemapin'
import type { TokenJson } from '../../json/raw-number.ts'
import type { ProviderKey } from '../analysis/rule.ts'
import { digestOfText } from '../normalise.ts'
import type { SigningKeys } from '../signing/key-store.ts'
import { type PublicKey, readPublicKey } from '../signing/public-key.ts'
import { CANONICALIZATION, PROFILES, type Profile, verifyText } from '../signing/schemapin.ts'
import { FLOAT_WARNING, holdsFloat } from '../signing/signed-tool.ts'
import type { KeyLookup, KeyPlace, LookupOptions } from './key-lookup.ts'
import type { Pin, PinStore, TrustLevel } from './pin-store.ts'
import { Unverified, type VerificationCode } from './unverified.ts'

export interface VerifierDeps {
  readonly keys: SigningKeys
  readonly pins: PinStore
  readonly lookup: KeyLookup
  /** Epoch ms. */
  readonly now: () => number
}

/** Whose key it has to be. */
export type Signer =
  | { readonly pem: string }
  /** One of ours; with the fingerprint that it had when it signed. */
  | { readonly keyId: string; readonly fingerprint?: string }
  | { readonly domain: string; readonly toolId: string }
  /** Where the tool itself says that the key is. */
  | { readonly url: string; readonly toolId: string }

export interface VerifyRequest extends LookupOptions {
  readonly payload: TokenJson
  /** What was signed, where that is not the canonical form of the payload. */
  readonly text?: string | undefined
  readonly signature: string
  readonly signer: Signer
  /** Tried in this order; A, then B unless told. */
  readonly profiles?: readonly Profile[]
  /** As the signature's document has them. */
  readonly canonicalization?: string | undefined
  readonly expiresAt?: string | undefined
  /** A bundle has to be signed, and is none any more when it has expired. */
  readonly isBundle?: boolean
  /** Without it only keys that are pinned already are used, and nobody is asked. */
  readonly mayAsk?: boolean
}

export type PinStatus = 'first_use' | 'pinned' | 'changed'

export interface Verification {
  readonly valid: boolean
  readonly code: VerificationCode | undefined
  /** For a person. */
  readonly message: string
  readonly profile: Profile | undefined
  readonly schemaHash: string | undefined
  readonly keyFingerprint: string | undefined
  /** Domain, or signing key of ours, that it was held against; undefined for a key that was given. */
  readonly signer: string | undefined
  /** undefined where nothing is pinned: the key was given, or is ours. */
  readonly pinStatus: PinStatus | undefined
  readonly expired: boolean
  readonly warnings: readonly string[]
}

/** A key that may have signed, and what is bound already. */
interface Candidates {
  readonly keys: readonly PublicKey[]
  readonly pin?: Pin | undefined
  readonly bindTo?: { readonly toolId: string; readonly domain: string; readonly trust: TrustLevel }
  readonly warnings: readonly string[]
}

export class Verifier {
  readonly #deps: VerifierDeps

  constructor(deps: VerifierDeps) {
    this.#deps = deps
  }

  /** @throws VestryError `STORE_CORRUPT`, `VAULT_LOCKED`, `AUDIT_UNAVAILABLE`; a bad signature is an answer. */
  async verify(request: VerifyRequest): Promise<Verification> {
    let fingerprint: string | undefined
    let schemaHash: string | undefined
    try {
      checkCanonicalization(request.canonicalization)
      if (request.isBundle === true && request.signature === '')
        throw new Unverified('BUNDLE_UNSIGNED', 'the bundle is not signed')
      const { keys, pin, bindTo, warnings } = await this.#candidates(request)
      fingerprint = keys[0]?.fingerprint
      const text = request.text ?? canonicalText(request.payload)
      schemaHash = digestOfText(text)
      const { key, profile } = signedBy(keys, text, request)
      fingerprint = key.fingerprint
      const expiry = expiryOf(request.expiresAt, this.#deps.now())
      if (request.isBundle === true && expiry.warnings.length > 0)
        throw new Unverified('BUNDLE_EXPIRED', 'the bundle has expired, or says not readably when')
      const pinStatus = await this.#bind(key, pin, bindTo)
      return {
        valid: true,
        code: undefined,
        message: 'The signature is valid.',
        profile,
        schemaHash,
        keyFingerprint: fingerprint,
        signer: signerName(request.signer),
        pinStatus,
        expired: expiry.expired,
        warnings: [
          ...warnings,
          ...expiry.warnings,
          ...(holdsFloat(request.payload) ? [FLOAT_WARNING] : []),
        ],
      }
    } catch (error) {
      if (!(error instanceof Unverified)) throw error
      return {
        valid: false,
        code: error.code,
        message: sentence(error.message),
        profile: undefined,
        schemaHash,
        keyFingerprint: error.fingerprint ?? fingerprint,
        signer: signerName(request.signer),
        pinStatus: error.code === 'KEY_PIN_MISMATCH' ? 'changed' : undefined,
        expired: false,
        warnings: [],
      }
    }
  }

  /**
   * What a review is told of the key of a tool's provider. Never waits longer than `timeoutMs`, 3 s unless told.
   *
   * @param mayAsk Without it only a provider is asked whose key for this tool is pinned already.
   */
  async providerKey(
    url: string | null,
    toolId: string,
    { mayAsk = true, ...options }: LookupOptions & { readonly mayAsk?: boolean } = {},
  ): Promise<ProviderKey> {
    if (url === null || url === '') return { state: 'absent' }
    const { lookup, pins } = this.#deps
    try {
      const place = lookup.placeAt(url)
      const pin = await pins.find(toolId, place.domain)
      if (!mayAsk && pin === undefined) return { state: 'unreachable' }
      const { discovery, revoked } = await lookup.ask(place, { timeoutMs: 3_000, ...options })
      const { fingerprint } = discovery.key
      if (revoked) return { state: 'revoked', fingerprint }
      const differs = pin !== undefined && !holdsKey(pin, fingerprint)
      return { state: differs ? 'differs_from_pin' : 'known', fingerprint }
    } catch (error) {
      if (!(error instanceof Unverified)) throw error
      if (error.refused) return { state: 'refused', reason: error.message }
      if (error.code === 'DOMAIN_MISMATCH' && error.fingerprint !== undefined)
        return { state: 'differs_from_pin', fingerprint: error.fingerprint }
      return { state: error.code === 'DISCOVERY_INVALID' ? 'not_a_key' : 'unreachable' }
    }
  }

  async #candidates({ signer, mayAsk = true, ...options }: VerifyRequest): Promise<Candidates> {
    if ('pem' in signer) {
      const key = readPublicKey(signer.pem)
      if (key === undefined)
        throw new Unverified('KEY_NOT_FOUND', 'what was given is no P-256 public key')
      return { keys: [key], warnings: [] }
    }
    if ('keyId' in signer) return this.#own(signer)
    const { lookup, pins } = this.#deps
    const place = 'url' in signer ? lookup.placeAt(signer.url) : lookup.placeOf(signer.domain)
    const pin = await pins.find(signer.toolId, place.domain)
    return this.#ofProvider(place, signer.toolId, pin, mayAsk ? options : undefined)
  }

  async #own({ keyId, fingerprint }: { keyId: string; fingerprint?: string }): Promise<Candidates> {
    const key = await this.#deps.keys.find(keyId)
    const published = key && readPublicKey(key.publicKeyPem)
    if (key === undefined || published === undefined)
      throw new Unverified('KEY_NOT_FOUND', `there is no signing key "${keyId}"`)
    if (fingerprint !== undefined && fingerprint !== key.fingerprint)
      throw new Unverified('KEY_NOT_FOUND', 'the key that signed is not there any more')
    if (key.revoked !== undefined)
      throw new Unverified('KEY_REVOKED', `the key was revoked: ${key.revoked.reason}`, {
        fingerprint: key.fingerprint,
      })
    return { keys: [published], warnings: [] }
  }

  /** @param options undefined: nobody is asked. */
  async #ofProvider(
    place: KeyPlace,
    toolId: string,
    pin: Pin | undefined,
    options: LookupOptions | undefined,
  ): Promise<Candidates> {
    const asked = await this.#ask(place, pin, options)
    if (asked === undefined) {
      const keys = (pin?.keys ?? []).flatMap(({ publicKeyPem }) => {
        const key = readPublicKey(publicKeyPem)
        return key === undefined ? [] : [key]
      })
      const why = options === undefined ? 'discovery_not_asked' : 'discovery_unreachable'
      return { keys, pin, warnings: [why] }
    }
    const { key } = asked.discovery
    const { fingerprint } = key
    if (asked.revoked)
      throw new Unverified('KEY_REVOKED', 'the provider has revoked this key', { fingerprint })
    if (pin !== undefined && !holdsKey(pin, fingerprint)) throw mismatch(fingerprint)
    const trust = asked.vouched ? 'verified' : 'tofu'
    return { keys: [key], pin, bindTo: { toolId, domain: place.domain, trust }, warnings: [] }
  }

  /** @returns undefined where a pinned key has to do: the provider cannot be reached, or may not be asked. */
  async #ask(place: KeyPlace, pin: Pin | undefined, options: LookupOptions | undefined) {
    if (options === undefined) {
      if (pin !== undefined) return undefined
      throw new Unverified('KEY_NOT_FOUND', 'no key of this tool and domain is pinned')
    }
    try {
      return await this.#deps.lookup.ask(place, options)
    } catch (error) {
      const isAway = error instanceof Unverified && error.code === 'DISCOVERY_FETCH_FAILED'
      if (isAway && !error.listMissing && pin !== undefined) return undefined
      throw error
    }
  }

  async #bind(
    key: PublicKey,
    pin: Pin | undefined,
    bindTo: Candidates['bindTo'],
  ): Promise<PinStatus | undefined> {
    const { pins } = this.#deps
    if (pin !== undefined) {
      await pins.touch(pin, key.fingerprint)
      return 'pinned'
    }
    if (bindTo === undefined) return undefined
    const bound = await pins.bind(bindTo, key, bindTo.trust)
    if (!holdsKey(bound, key.fingerprint)) throw mismatch(key.fingerprint)
    return 'first_use'
  }
}

/** As far as the question names it: `maps.example`. */
function signerName(signer: Signer): string | undefined {
  if ('pem' in signer) return undefined
  if ('keyId' in signer) return signer.keyId
  return 'domain' in signer ? signer.domain : URL.parse(signer.url)?.host
}

function signedBy(
  keys: readonly PublicKey[],
  text: string,
  { signature, profiles = PROFILES }: VerifyRequest,
): { key: PublicKey; profile: Profile } {
  for (const key of keys) {
    const profile = verifyText(text, signature, key.key, profiles)
    if (profile !== undefined) return { key, profile }
  }
  throw new Unverified('SIGNATURE_INVALID', 'the signature does not belong to this content and key')
}

function checkCanonicalization(name: string | undefined): void {
  if (name === undefined || name === CANONICALIZATION) return
  throw new Unverified('CANONICALIZATION_UNSUPPORTED', `only ${CANONICALIZATION} is known`)
}

function canonicalText(payload: TokenJson): string {
  try {
    return schemapinCanonical(payload as JsonValue)
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    throw new Unverified('SCHEMA_CANONICALIZATION_FAILED', error.message)
  }
}

/** A signature that has expired is still one; who reads it decides what that means. */
export function expiryOf(
  expiresAt: string | undefined,
  nowMs: number,
): { expired: boolean; warnings: string[] } {
  if (expiresAt === undefined) return { expired: false, warnings: [] }
  const isDate = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/.test(
    expiresAt,
  )
  const atMs = isDate ? Date.parse(expiresAt) : Number.NaN
  if (Number.isNaN(atMs)) return { expired: false, warnings: ['signature_expires_at_unparseable'] }
  return atMs < nowMs
    ? { expired: true, warnings: ['signature_expired'] }
    : { expired: false, warnings: [] }
}

function holdsKey({ keys }: Pin, fingerprint: string): boolean {
  return keys.some((key) => key.fingerprint === fingerprint)
}

function mismatch(fingerprint: string): Unverified {
  return new Unverified(
    'KEY_PIN_MISMATCH',
    'the provider publishes another key than the one that is pinned; an operator has to add it',
    { fingerprint },
  )
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`
}

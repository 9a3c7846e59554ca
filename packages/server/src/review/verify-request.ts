/** What `POST tool-review/verify` is asked, read: whose signature over what (runtime contract §7.8). */
import { VestryError } from '@vestry/contract/errors'
import { isTokenObject, type TokenJson, type TokenObject } from '../json/raw-number.ts'
import { toolDocument } from './normalise.ts'
import type { Signer, VerifyRequest } from './pins/verifier.ts'
import type { Problem } from './schema-structure.ts'
import type { Profile } from './signing/schemapin.ts'
import type { ToolSignature } from './signing/signatures.ts'
import { readManifest, skillText } from './signing/skill.ts'

export interface AskedVerification {
  readonly request: Omit<VerifyRequest, 'signal' | 'timeoutMs' | 'mayAsk'>
  /** Digest that the predecessor has to have, when the question names both. */
  readonly chain:
    | { readonly previousHash: string | undefined; readonly expected: string }
    | undefined
}

const KNOWN = [
  'tool',
  'document',
  'skill_manifest',
  'signature',
  'public_key_pem',
  'domain',
  'review_id',
  'tool_id',
  'profile',
  'canonicalization',
  'expires_at',
  'schema_version',
  'previous_hash',
  'expected_previous_hash',
]
const MAX_TEXT_CHARS = 8_192

/**
 * @param body As `readToolJson` read it.
 * @param signedReview The signature of a review; may throw where there is none.
 * @throws VestryError `VALIDATION_ERROR`; `NOT_SIGNED` for a review without signature.
 */
export async function readVerification(
  body: TokenJson,
  signedReview: (id: string) => Promise<ToolSignature | undefined>,
): Promise<AskedVerification> {
  if (!isTokenObject(body)) throw invalid('', 'must be an object')
  for (const key of Object.keys(body))
    if (!KNOWN.includes(key)) throw invalid(key, 'is not known here')
  const texts = new Texts(body)
  const reviewId = texts.at('review_id')
  const review = reviewId === undefined ? undefined : await signedReview(reviewId)
  if (reviewId !== undefined && review === undefined)
    throw new VestryError('NOT_SIGNED', `The review "${reviewId}" is not signed`)
  const content = contentOf(body, texts, review)
  const profile = texts.at('profile')
  if (profile !== undefined && profile !== 'A' && profile !== 'B')
    throw invalid('profile', 'must be A or B')
  const expected = texts.at('expected_previous_hash')
  return {
    request: {
      payload: content.payload,
      text: content.text,
      signature: content.signature,
      isBundle: content.bundle !== undefined,
      signer: signerOf(body, texts, content.payload, review),
      profiles: profile === undefined ? content.profiles : [profile],
      canonicalization: texts.at('canonicalization'),
      expiresAt: content.bundle?.expiresAt ?? texts.at('expires_at'),
    },
    chain:
      expected === undefined ? undefined : { previousHash: texts.at('previous_hash'), expected },
  }
}

/** What links a definition to the one before it: a missing link is another thing than a wrong one. */
export function chainState(
  previousHash: string | undefined,
  predecessorHash: string,
): 'linked' | 'no_previous_hash' | 'mismatch' {
  if (previousHash === undefined) return 'no_previous_hash'
  return previousHash === predecessorHash ? 'linked' : 'mismatch'
}

interface Content {
  readonly payload: TokenJson
  /** What was signed, where that is not the canonical form of the payload. */
  readonly text?: string
  readonly signature: string
  readonly profiles: readonly Profile[]
  readonly bundle?: { readonly expiresAt: string | undefined }
}

function contentOf(body: TokenObject, texts: Texts, review: ToolSignature | undefined): Content {
  const tool = body['tool'] ?? undefined
  const document = body['document'] ?? undefined
  const manifest = body['skill_manifest'] ?? undefined
  if ([tool, document, manifest].filter((one) => one !== undefined).length > 1)
    throw invalid('', 'tool, document and skill_manifest exclude each other')
  const signature = texts.at('signature')
  const profiles = ['A', 'B'] as const
  if (manifest !== undefined) {
    const files = readManifest(manifest)
    if (files === undefined)
      throw invalid('skill_manifest', 'must map paths of files to sha256:<64 hex digits>')
    if (signature === undefined) throw invalid('signature', 'required')
    return { payload: manifest, text: skillText(files), signature, profiles }
  }
  if (document !== undefined) {
    if (!isTokenObject(document)) throw invalid('document', 'must be an object')
    if (document['schemapin_bundle_version'] !== undefined) return bundle(document, signature)
    if (signature !== undefined) return { payload: document, signature, profiles }
    return embedded(document)
  }
  const payload = tool === undefined ? review?.document : toolDocument(tool, 'tool')
  if (payload === undefined) throw invalid('tool', 'required, or document, or review_id')
  const known = signature ?? review?.signature
  if (known === undefined) throw invalid('signature', 'required')
  return { payload: payload as unknown as TokenObject, signature: known, profiles }
}

/** A schema that carries its own signature was signed without it, and mostly in the other profile. */
function embedded(document: TokenObject): Content {
  const signature = document['signature']
  if (typeof signature !== 'string')
    throw invalid('signature', 'required: the document carries none of its own')
  const payload = Object.fromEntries(
    Object.entries(document).filter(([key]) => key !== 'signature'),
  )
  return { payload, signature, profiles: ['B', 'A'] }
}

/** A bundle is signed with its signature in place, but empty. */
function bundle(document: TokenObject, given: string | undefined): Content {
  const { signature, expires_at: expiresAt } = document
  return {
    payload: { ...document, signature: '' },
    signature: given ?? (typeof signature === 'string' ? signature : ''),
    profiles: ['B'],
    bundle: { expiresAt: textOr(expiresAt) },
  }
}

/** What is there and is no text cannot be read as a time either. */
function textOr(value: TokenJson | undefined): string | undefined {
  if (value === undefined || value === null) return undefined
  return typeof value === 'string' ? value : ''
}

function signerOf(
  body: TokenObject,
  texts: Texts,
  payload: TokenJson,
  review: ToolSignature | undefined,
): Signer {
  const pem = texts.at('public_key_pem')
  const domain = texts.at('domain')
  const given = [pem, domain, review].filter((one) => one !== undefined)
  if (given.length > 1) throw invalid('', 'public_key_pem, domain and review_id exclude each other')
  if (pem !== undefined) return { pem }
  if (review !== undefined) return { keyId: review.keyId, fingerprint: review.keyFingerprint }
  const toolId = texts.at('tool_id') ?? nameOf(payload)
  const url = body['tool'] === undefined ? undefined : urlOf(payload)
  if (domain === undefined && url === undefined)
    throw invalid('public_key_pem', 'required, or domain, or review_id')
  if (toolId === undefined) throw invalid('tool_id', 'required: the document has no name')
  return domain !== undefined ? { domain, toolId } : { url: url as string, toolId }
}

function nameOf(payload: TokenJson): string | undefined {
  const name = isTokenObject(payload) ? payload['name'] : undefined
  return typeof name === 'string' && name !== '' && name.length <= 256 ? name : undefined
}

/** Where a tool says that the key of its provider is. */
function urlOf(payload: TokenJson): string | undefined {
  const provider = isTokenObject(payload) ? payload['provider'] : undefined
  const url = isTokenObject(provider) ? provider['public_key_url'] : undefined
  return typeof url === 'string' && url !== '' ? url : undefined
}

/** Members that are text; `null` is none. */
class Texts {
  readonly #body: TokenObject

  constructor(body: TokenObject) {
    this.#body = body
  }

  at(key: string): string | undefined {
    const value = this.#body[key] ?? undefined
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw invalid(key, 'must be a string')
    if (value.length > MAX_TEXT_CHARS)
      throw invalid(key, `must be at most ${MAX_TEXT_CHARS} characters`)
    return value
  }
}

function invalid(path: string, problem: string): VestryError {
  const fields: Problem[] = [{ path, problem }]
  const message = path === '' ? problem : `${path}: ${problem}`
  return new VestryError('VALIDATION_ERROR', message, { context: { fields } })
}

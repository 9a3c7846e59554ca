/** The answer to "is this, exactly, what somebody signed?", looked up once per definition and remembered. */
import { VestryError } from '@vestry/contract/errors'
import { RecentMap } from '../store/recent-map.ts'
import type { Analysis } from './analysis/finding.ts'
import { visibleExcerpt } from './analysis/visible.ts'
import { asFrom, isOnAnnotation, reduced } from './comparison.ts'
import { toolChanges } from './diff.ts'
import { digestOf } from './normalise.ts'
import type { ReviewedTools, Verdict } from './reviewed-tools.ts'
import type { Reviews } from './sessions/reviews.ts'
import type { Signatures, ToolSignature } from './signing/signatures.ts'
import type { ToolDocument } from './tool-document.ts'

export interface ReviewedDeps {
  readonly signatures: Pick<Signatures, 'ofHash' | 'ofTool' | 'standing'>
  readonly reviews: Pick<Reviews, 'reopen'>
  /** Analyses a tool of which nothing is known but itself. */
  readonly analyse: (tool: ToolDocument) => Promise<Pick<Analysis, 'findings'>>
  /** Whether the provider's own signature holds, by the key it publishes and that was pinned. */
  readonly verifyCarried: (document: ToolDocument, signature: string) => Promise<boolean>
  readonly now: () => number
}

type Refusal = Extract<Verdict, { verified: false }>['reason']

/** Verdicts that are remembered. */
const MAX_REMEMBERED = 10_000
/** A provider can take its key back, so its signature is looked at again after this. */
const CARRIED_FOR_MS = 300_000
const MAX_TOLD = 3
const MAX_PLACE = 80
/** Signed tools of one name that a tool is compared with. */
const MAX_COMPARED = 32

export class ReviewedByHash implements ReviewedTools {
  readonly #deps: ReviewedDeps
  readonly #known = new RecentMap<string, Verdict>(MAX_REMEMBERED)
  readonly #carried = new RecentMap<string, { holds: boolean; untilMs: number }>(MAX_REMEMBERED)
  #epoch = 0

  constructor(deps: ReviewedDeps) {
    this.#deps = deps
  }

  digest(document: ToolDocument): string {
    return digestOf(document)
  }

  async verdict(document: ToolDocument, carried?: { signature: string }): Promise<Verdict> {
    const hash = digestOf(document)
    const own = this.#known.get(hash) ?? (await this.#lookUp(document, hash))
    if (own.verified || carried === undefined) return own
    if (!(await this.#carriedHolds(document, hash, carried.signature))) return own
    return { verified: true, match: 'provider', reviewId: undefined, hash }
  }

  reopen(input: Parameters<ReviewedTools['reopen']>[0]): Promise<string> {
    return this.#deps.reviews.reopen(input)
  }

  /** Something was signed, a key was revoked, a pin was set: here or on another node. */
  forget(): void {
    this.#epoch += 1
    this.#known.clear()
    this.#carried.clear()
  }

  async #lookUp(document: ToolDocument, hash: string): Promise<Verdict> {
    const epoch = this.#epoch
    const found = await this.#compare(document, hash)
    // What changed while this was looked up may be what it says.
    if (epoch === this.#epoch) this.#known.set(hash, found)
    return found
  }

  async #compare(document: ToolDocument, hash: string): Promise<Verdict> {
    const full = await this.#standingOf(hash)
    if (full?.standing === 'valid')
      return { verified: true, match: 'full', reviewId: full.signed.reviewId, hash }
    if (full !== undefined) return refused(hash, full.standing, full.signed, 'It was signed once')
    const less = reduced(document)
    const plain = less && (await this.#standingOf(less.hash))
    if (less !== undefined && plain !== undefined) {
      if (plain.standing !== 'valid')
        return refused(hash, plain.standing, plain.signed, 'It was signed once')
      const unreviewed = [...less.unreviewed, ...(await this.#conspicuous(less.annotations))]
      if (unreviewed.length === 0)
        return { verified: true, match: 'reduced', reviewId: plain.signed.reviewId, hash }
      const detail = `The schema has keywords that nobody reviewed: ${unreviewed.join(', ')}`
      return refused(hash, 'schema_has_unreviewed_keywords', plain.signed, detail)
    }
    return this.#nearest(document, hash)
  }

  /** Of several signatures of one text, one that counts is enough. */
  async #standingOf(
    hash: string,
  ): Promise<
    { signed: ToolSignature; standing: Awaited<ReturnType<Signatures['standing']>> } | undefined
  > {
    const { signatures } = this.#deps
    let last: { signed: ToolSignature; standing: 'signature_invalid' | 'key_revoked' } | undefined
    for (const signed of (await signatures.ofHash(hash)).slice(0, MAX_COMPARED)) {
      const standing = await signatures.standing(signed)
      if (standing === 'valid') return { signed, standing }
      last ??= { signed, standing }
    }
    return last
  }

  /** Keywords whose text would have been found had it been reviewed. */
  async #conspicuous(annotations: ToolDocument | undefined): Promise<string[]> {
    if (annotations === undefined) return []
    let findings: Analysis['findings']
    try {
      findings = (await this.#deps.analyse(annotations)).findings
    } catch (error) {
      // What cannot be analysed is not harmless, and it is not tried again at each call.
      if (!(error instanceof VestryError) || error.code !== 'ANALYSIS_FAILED') throw error
      return Object.keys(annotations.schema).filter((keyword) =>
        isOnAnnotation(`/schema/${keyword}`),
      )
    }
    const found = findings.filter(({ location }) => isOnAnnotation(location))
    return [...new Set(found.map(({ location }) => location.split('/')[2] ?? location))]
  }

  async #nearest(document: ToolDocument, hash: string): Promise<Verdict> {
    const { name, provider } = document
    const sameName = (await this.#deps.signatures.ofTool(name)).slice(0, MAX_COMPARED)
    const elsewhere = sameName.find((signed) => isSameBut(document, signed))
    const here = sameName.find(({ document: signed }) => signed.provider.name === provider.name)
    if (elsewhere !== undefined && here === undefined) {
      const theirs = elsewhere.document.provider.name
      const detail = `It equals the tool that was signed of provider "${theirs}"; the provider differs`
      return refused(hash, 'provider_differs', elsewhere, detail)
    }
    if (here !== undefined) {
      const detail = `It is not the tool that was signed: ${placesText(here.document, document)}`
      return refused(hash, 'definition_differs', here, detail)
    }
    return refused(hash, 'never_reviewed', undefined, 'Nobody has reviewed and signed this tool')
  }

  async #carriedHolds(document: ToolDocument, hash: string, signature: string): Promise<boolean> {
    const { verifyCarried, now } = this.#deps
    const key = `${hash} ${signature}`
    const known = this.#carried.get(key)
    if (known !== undefined && now() < known.untilMs) return known.holds
    const epoch = this.#epoch
    const holds = await verifyCarried(document, signature)
    if (epoch === this.#epoch) this.#carried.set(key, { holds, untilMs: now() + CARRIED_FOR_MS })
    return holds
  }
}

/** Equal but for the provider, whole or in what both can have. */
function isSameBut(document: ToolDocument, signed: ToolSignature): boolean {
  const { provider } = signed.document
  if (provider.name === document.provider.name) return false
  const renamed = asFrom(document, provider)
  return digestOf(renamed) === signed.schemaHash || reduced(renamed)?.hash === signed.schemaHash
}

/** `/description and 2 more changed`. */
function placesText(before: ToolDocument, after: ToolDocument): string {
  const places = toolChanges(before, after).map(({ pointer }) => visibleExcerpt(pointer, MAX_PLACE))
  const told = places.slice(0, MAX_TOLD).join(', ')
  const more = places.length - MAX_TOLD
  return `${told}${more > 0 ? ` and ${more} more` : ''} changed`
}

function refused(
  hash: string,
  reason: Refusal,
  signed: ToolSignature | undefined,
  detail: string,
): Verdict {
  return {
    verified: false,
    hash,
    reason,
    reviewId: signed?.reviewId,
    detail: `${detail}${ENDS[reason] ?? ''}`,
  }
}

const ENDS: Partial<Record<Refusal, string>> = {
  key_revoked: ', and the key it was signed with is revoked',
  signature_invalid: ', and the signature does not hold any more',
}

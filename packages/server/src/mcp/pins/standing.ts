/** What is known of one definition of a tool, and whether it may be called. Pure. */
import type { Verdict } from '../../review/reviewed-tools.ts'
import type { LiveTool } from '../hub.ts'
import type { Verification } from '../views.ts'

export interface Standing extends Verification {
  /** The signed review that counts, or that it was compared with. */
  readonly reviewId: string | undefined
  /** Why a call is refused; undefined: review has nothing against it. */
  readonly refusal: Refusal | undefined
}

export interface Refusal {
  readonly reason: string
  /** A person's words for it. */
  readonly detail: string
  readonly hint: string
}

/** It is not what was signed, or the signature does not count any more: nothing lets such a tool through. */
const MISMATCH: ReadonlySet<string> = new Set([
  'definition_differs',
  'schema_has_unreviewed_keywords',
  'signature_invalid',
  'key_revoked',
])

export interface Seen {
  readonly verdict: Verdict
  /** It is another definition than the one that was first seen, or last accepted; the places that changed. */
  readonly drift: readonly string[] | undefined
  readonly allowUnreviewed: boolean
}

export function standingOf(tool: LiveTool, { verdict, drift, allowUnreviewed }: Seen): Standing {
  const { hash, reviewId } = verdict
  if (verdict.verified) return { verified: true, hash, reviewId, refusal: undefined }
  const { reason, detail } = verdict
  const refused = (why: string, words: string, hint: string): Standing => ({
    verified: false,
    hash,
    reason: why,
    reviewId,
    refusal: { reason: why, detail: words, hint },
  })
  if (MISMATCH.has(reason)) return refused(reason, detail, HINTS[reason] ?? REVIEW_HINT)
  if (drift !== undefined) {
    const words = `It is not the tool that was first seen: ${placesText(drift)} changed`
    const hint = `${REVIEW_HINT}; or accept it as it is: vestry mcp accept ${tool.server} TOOL`
    return refused('definition_changed', words, hint)
  }
  if (allowUnreviewed) return { verified: false, hash, reason, reviewId, refusal: undefined }
  return refused(reason, detail, HINTS[reason] ?? REVIEW_HINT)
}

/** A tool beyond what of its server is bound: nothing would tell a change of it. */
export function unbound(verdict: Verdict, most: number): Standing {
  const { verified, hash, reviewId } = verdict
  if (verified) return { verified, hash, reviewId, refusal: undefined }
  const reason = 'too_many_tools'
  const detail = `Its server has listed more than ${most} different tools`
  const hint = 'Have it reviewed and signed, or add the server under another name'
  return { verified, hash, reason, reviewId, refusal: { reason, detail, hint } }
}

/** A definition of which no digest can be made cannot be compared with anything. */
export function unreadable(problem: string): Standing {
  return {
    verified: false,
    hash: '',
    reason: 'definition_unreadable',
    reviewId: undefined,
    refusal: {
      reason: 'definition_unreadable',
      detail: `Its definition has no canonical form: ${problem}`,
      hint: 'The server has to list the tool with another definition',
    },
  }
}

const MAX_TOLD = 3
const MAX_PLACE = 80

function placesText(places: readonly string[]): string {
  const told = places.slice(0, MAX_TOLD).map((place) => place.slice(0, MAX_PLACE).toWellFormed())
  const more = places.length - MAX_TOLD
  return `${told.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const REVIEW_HINT = 'Have it reviewed and signed: vestry review list shows what waits'
const HINTS: Readonly<Record<string, string>> = {
  never_reviewed:
    'Submit it for review: vestry review submit; or set runtime.allow_unreviewed_tools',
  provider_differs:
    'Name the server as the reviewed provider, or have the tool of this one reviewed',
  schema_has_unreviewed_keywords: 'Have the whole schema reviewed and signed',
  key_revoked: 'Have it reviewed and signed with a key that is in force',
}

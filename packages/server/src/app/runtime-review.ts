/** Puts review and signing together: the part of the runtime that says which tools somebody has looked at. */
import { join } from 'node:path'
import { rowGuard } from '../identity/row-guard.ts'
import type { KnownTool } from '../review/analysis/rule.ts'
import { assembleReview, type ReviewPart } from '../review/review.ts'
import { assembleSigning, type SigningPart } from '../review/signing-part.ts'
import { reviewVerbs } from '../review/verbs.ts'
import { reviewRoutes } from '../runtime/routes/review.ts'
import { signingRoutes } from '../runtime/routes/signing.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import { wellKnownRoutes } from '../runtime/wire/well-known.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface ReviewPiece extends RuntimePiece {
  readonly review: ReviewPart
  readonly signing: SigningPart
}

export function assembleReviewPiece(
  parts: Parts,
  deps: {
    door: VerbDoor
    /** Tools that MCP servers list now, and those that are built in. */
    offered: () => readonly KnownTool[]
    warn: (line: string) => void
  },
): ReviewPiece {
  const { config, home, store, seal, audit, vault } = parts
  const { now } = vault
  const guard = rowGuard(() => seal.keys)
  const settings = config.runtime
  const signing = assembleSigning({
    store,
    guard,
    keys: () => seal.keys,
    audit,
    egress: vault.egress.deps,
    now,
    settings,
    keyDir: join(home.keys, 'signing'),
  })
  const review = assembleReview({
    store,
    guard,
    audit,
    keys: signing.keys,
    signatures: signing.signatures,
    verifier: signing.verifier,
    offered: deps.offered,
    settings,
    now,
    warn: deps.warn,
  })
  return {
    review,
    signing,
    routes: [
      ...signingRoutes({
        part: signing,
        verbs: deps.door,
        signed: (id, agentId) => review.reviews.signed(id, agentId),
      }),
      ...reviewRoutes({ part: review, verbs: deps.door }),
    ],
    verbs: [...signing.verbs, ...reviewVerbs(review)],
    open: async () => {
      await signing.open()
      await review.open()
    },
    onChange: (tables) => review.onChange(tables),
    close: () => review.close(),
    mount: (app) => wellKnownRoutes(app, signing.wellKnown),
  }
}

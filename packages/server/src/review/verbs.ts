/** Reviews for operators: look, submit, decide, sign. */
import * as z from 'zod'
import { type AdminCall, type AdminVerb, verb } from '../admin/verb.ts'
import { actorOf } from '../identity/caller.ts'
import { isTokenObject, type TokenJson } from '../json/raw-number.ts'
import type { ReviewPart } from './review.ts'
import { analysisBody } from './sessions/analysis-store.ts'
import { decisionWord } from './sessions/decision.ts'
import { commentsField, invalidField, readFile, whoField } from './sessions/field.ts'
import { STATUSES } from './sessions/machine.ts'
import type { By } from './sessions/reviews.ts'
import { PROFILES } from './signing/schemapin.ts'
import { signingResult } from './signing/signed-tool.ts'

const Id = z.string().min(1).max(128)
/** A schema of the largest size, with what stands around it. */
const MAX_FILE_CHARS = 524_288

/** Who decides about tools must see them, and need see nothing else: that is why looking is `admin:approve`. */
export function reviewVerbs(part: ReviewPart): AdminVerb[] {
  const { reviews, sessions, views, keys } = part
  return [
    verb({
      name: 'review.list',
      action: 'admin:approve',
      event: 'admin.read',
      params: z.strictObject({
        status: z.enum(STATUSES).optional(),
        author: z.string().min(1).max(512).optional(),
        page: z.int().min(1).max(1_000_000).default(1),
        limit: z.int().min(1).max(100).default(20),
      }),
      run: async ({ params: { page, limit, ...filter } }) =>
        brief(await views.list(filter, { page, limit }), 'sessions'),
    }),
    verb({
      name: 'review.queue',
      action: 'admin:approve',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => brief(await views.queue(), 'queue'),
    }),
    verb({
      name: 'review.stats',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: () => views.stats(),
    }),
    verb({
      name: 'review.show',
      action: 'admin:approve',
      event: 'admin.read',
      params: z.strictObject({ review_id: Id }),
      data: ({ review_id }) => ({ review_id }),
      run: async ({ params }) => {
        const session = await sessions.get(params.review_id)
        const analysis = await reviews.analysisOf(session)
        return {
          ...withTexts(await views.one(session)),
          canonical_json: session.toolJson,
          analysis: analysis === undefined ? null : analysisBody(analysis),
        }
      },
    }),
    verb({
      name: 'review.audit',
      action: 'admin:approve',
      event: 'admin.read',
      params: z.strictObject({ review_id: Id }),
      data: ({ review_id }) => ({ review_id }),
      run: async ({ params }) => views.audit(await sessions.get(params.review_id)),
    }),
    verb({
      name: 'review.submit',
      action: 'admin:write',
      event: 'review.submission',
      params: z.strictObject({
        text: z.string().min(1).max(MAX_FILE_CHARS),
        submitted_by: z.string().optional(),
        priority: z.string().optional(),
      }),
      run: async ({ params, by, caller, requestId, note }) => {
        const { tool, ...file } = submissionOf(readFile(params.text, 'The tool'))
        const session = await reviews.submit({
          tool,
          submittedBy: whoField('submitted_by', params.submitted_by ?? file.submittedBy ?? by),
          priority: params.priority ?? file.priority,
          actor: actorOf(caller.principal),
          owner: '',
          requestId,
        })
        note({ review_id: session.id, schema_hash: session.schemaHash })
        return views.submitted(session)
      },
    }),
    verb({
      name: 'review.claim',
      action: 'admin:approve',
      event: 'review.claiming',
      params: z.strictObject({ review_id: Id, reviewer_id: z.string().optional() }),
      data: ({ review_id }) => ({ review_id }),
      run: async (call) => {
        const { review_id: id } = call.params
        return views.one(await reviews.claim(id, reviewerOf(call), byOf(call)))
      },
    }),
    verb({
      name: 'review.decide',
      action: 'admin:approve',
      event: 'review.decision',
      params: z.strictObject({
        review_id: Id,
        decision: z.string().max(64),
        comments: z.string().nullish(),
        reviewer_id: z.string().optional(),
      }),
      data: ({ review_id }) => ({ review_id }),
      run: async (call) => {
        const { review_id: id, decision, comments } = call.params
        const word = decisionWord(decision)
        const decided = await reviews.decide(
          id,
          {
            word,
            reviewerId: reviewerOf(call),
            comments: commentsField('comments', comments),
            actor: actorOf(call.caller.principal),
          },
          call.requestId,
        )
        call.note({ decision: word })
        return decided
      },
    }),
    verb({
      name: 'review.reanalyze',
      action: 'admin:approve',
      event: 'review.reanalysis',
      params: z.strictObject({ review_id: Id }),
      data: ({ review_id }) => ({ review_id }),
      run: async (call) => views.one(await reviews.reanalyze(call.params.review_id, byOf(call))),
    }),
    verb({
      name: 'review.sign',
      action: 'admin:write',
      event: 'review.signing',
      params: z.strictObject({
        review_id: Id,
        signing_key_id: z.string().min(1).max(128),
        profile: z.enum(PROFILES).optional(),
      }),
      data: ({ review_id, signing_key_id }) => ({ review_id, signing_key_id }),
      run: async (call) => {
        const { review_id: id, signing_key_id: keyId, profile } = call.params
        const asked = { keyId, ...(profile !== undefined && { profile }) }
        const signed = await reviews.sign(id, asked, byOf(call))
        call.note({ key_fingerprint: signed.keyFingerprint, schema_hash: signed.schemaHash })
        return signingResult(signed, await keys.find(signed.keyId))
      },
    }),
  ]
}

/** A page of schemas is more than one frame holds; "review.show" has them. */
function brief(
  body: Record<string, unknown>,
  member: 'sessions' | 'queue',
): Record<string, unknown> {
  const sessions = body[member] as readonly (Record<string, unknown> & {
    readonly tool: Record<string, unknown>
    readonly state: Record<string, unknown>
  })[]
  return {
    ...body,
    [member]: sessions.map(({ tool, state, ...session }) => {
      const { schema: _schema, description: _description, ...named } = tool
      const { critical_findings: _critical, ...rest } = state
      return { ...session, tool: named, state: rest }
    }),
  }
}

/** A reader of JSON takes `14.0` for `14`; who compares two versions has to see which it was. */
function withTexts(body: Record<string, unknown>): Record<string, unknown> {
  const diff = body['diff'] as { changes: readonly Record<string, unknown>[] } | undefined
  if (diff === undefined) return body
  const changes = diff.changes.map((change) => ({
    ...change,
    ...(Object.hasOwn(change, 'before') && { before_json: JSON.stringify(change['before']) }),
    ...(Object.hasOwn(change, 'after') && { after_json: JSON.stringify(change['after']) }),
  }))
  return { ...body, diff: { ...diff, changes } }
}

function byOf({ caller, requestId }: Pick<AdminCall<unknown>, 'caller' | 'requestId'>): By {
  return { actor: actorOf(caller.principal), requestId }
}

/**
 * Over HTTP one key may stand for a whole review desk, which names its people. An operator who logged in is who they
 * are, and nobody else.
 */
function reviewerOf({
  caller,
  by,
  params,
}: Pick<AdminCall<{ reviewer_id?: string | undefined }>, 'caller' | 'by' | 'params'>): string {
  const named = whoField('reviewer_id', params.reviewer_id ?? by)
  if (caller.peer.transport === 'http' || named === by) return named
  throw invalidField('reviewer_id', `must be "${by}", who is logged in`)
}

/** A tool alone, or as it is submitted over HTTP. */
function submissionOf(file: TokenJson): {
  tool: TokenJson
  submittedBy: string | undefined
  priority: string | undefined
} {
  if (!isTokenObject(file) || !isTokenObject(file['tool']))
    return { tool: file, submittedBy: undefined, priority: undefined }
  const text = (name: string) => (typeof file[name] === 'string' ? file[name] : undefined)
  return { tool: file['tool'], submittedBy: text('submitted_by'), priority: text('priority') }
}

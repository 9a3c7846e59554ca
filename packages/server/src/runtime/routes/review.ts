/** `tool-review/…`: submit a tool, follow its review, decide, have it signed (runtime contract §6.3, §7.2). */
import { VestryError } from '@vestry/contract/errors'
import { actorOf } from '../../identity/caller.ts'
import { readToolJson } from '../../json/number-tokens.ts'
import { isTokenObject, type TokenObject } from '../../json/raw-number.ts'
import type { ReviewPart } from '../../review/review.ts'
import { analysisBody } from '../../review/sessions/analysis-store.ts'
import { invalidField, whoField } from '../../review/sessions/field.ts'
import { STATUSES } from '../../review/sessions/machine.ts'
import { signedTool } from '../../review/signing/signed-tool.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface ReviewRouteDeps {
  readonly part: ReviewPart
  readonly verbs: VerbDoor
}

const MAX_PAGE = 1_000_000
const MAX_LIMIT = 100
const DEFAULT_LIMIT = 20

export function reviewRoutes({ part, verbs }: ReviewRouteDeps): RuntimeRoute[] {
  const { sessions, views, reviews } = part
  const session = (request: RuntimeRequest, name = 'id') =>
    sessions.get(request.params[name] ?? '', ownerOf(request))
  /** Through the verb, so that policy is asked and the record says who did it. */
  const byVerb = async (request: RuntimeRequest, verb: string, given: Record<string, unknown>) => {
    const { result } = await verbs(request, verb, given)
    return { body: result as Record<string, unknown> } // these verbs answer with objects
  }
  return [
    {
      method: 'POST',
      path: 'tool-review/sessions',
      access: 'key',
      handle: (request) => submit(request, part),
    },
    {
      method: 'GET',
      path: 'tool-review/sessions',
      access: 'key',
      handle: async (request) => {
        const { query } = request
        const filter = {
          status: statusOf(query['status']),
          author: query['author'] || undefined,
          owner: ownerOf(request),
        }
        const page = wholeNumber('page', query['page'], 1, MAX_PAGE)
        const limit = wholeNumber('limit', query['limit'], DEFAULT_LIMIT, MAX_LIMIT)
        return { body: await views.list(filter, { page, limit }) }
      },
    },
    {
      method: 'GET',
      path: 'tool-review/sessions/:id',
      access: 'key',
      handle: async (request) => ({ body: await views.one(await session(request)) }),
    },
    {
      method: 'GET',
      path: 'tool-review/sessions/:id/audit',
      access: 'key',
      handle: async (request) => ({ body: await views.audit(await session(request)) }),
    },
    {
      method: 'POST',
      path: 'tool-review/sessions/:id/decisions',
      access: 'approve',
      handle: (request) => {
        const given = request.json()
        return byVerb(request, 'review.decide', {
          review_id: request.params['id'],
          decision: textOf(given, 'decision'),
          comments: given['comments'] ?? given['reasoning'],
          reviewer_id: whoField('reviewer_id', given['reviewer_id'] ?? given['operator_id']),
        })
      },
    },
    {
      method: 'POST',
      path: 'tool-review/sessions/:id/claim',
      access: 'approve',
      handle: (request) => {
        const given = request.json()
        return byVerb(request, 'review.claim', {
          review_id: request.params['id'],
          reviewer_id: whoField('reviewer_id', given['reviewer_id'] ?? given['operator_id']),
        })
      },
    },
    {
      method: 'POST',
      path: 'tool-review/sessions/:id/reanalyze',
      access: 'approve',
      handle: (request) => byVerb(request, 'review.reanalyze', { review_id: request.params['id'] }),
    },
    {
      method: 'GET',
      path: 'tool-review/analysis/:id',
      access: 'key',
      handle: async (request) => {
        const id = request.params['id'] ?? ''
        const found = await reviews.analysis(id, ownerOf(request), request.signal)
        return { body: analysisBody(found) }
      },
    },
    {
      method: 'GET',
      path: 'tool-review/queue',
      access: 'key',
      handle: async (request) => {
        assertOperator(request)
        return { body: await views.queue() }
      },
    },
    {
      method: 'GET',
      path: 'tool-review/stats',
      access: 'key',
      handle: async (request) => {
        assertOperator(request)
        return { body: await views.stats() }
      },
    },
    {
      method: 'POST',
      path: 'tool-review/sign',
      access: 'admin',
      handle: (request) => {
        const given = request.json()
        const profile = given['profile'] ?? (request.query['profile'] || undefined)
        return byVerb(request, 'review.sign', {
          review_id: textOf(given, 'review_id'),
          signing_key_id: textOf(given, 'signing_key_id'),
          ...(profile !== undefined && { profile }),
        })
      },
    },
    {
      method: 'GET',
      path: 'tool-review/signed/:id',
      access: 'key',
      handle: async (request) => {
        const signed = await reviews.signed(request.params['id'] ?? '', ownerOf(request))
        return { body: signedTool(signed, await part.keys.find(signed.keyId)) }
      },
    },
  ]
}

async function submit(
  request: RuntimeRequest,
  { reviews, views }: ReviewPart,
): Promise<RuntimeReply> {
  const given = objectOf(request.raw)
  const { tool } = given
  if (tool === undefined || tool === null) throw invalidField('tool', 'required')
  const session = await reviews.submit({
    tool,
    submittedBy: whoField('submitted_by', given['submitted_by']),
    priority: optionalText(given, 'priority'),
    actor: actorOf(request.caller.principal),
    owner: request.scope?.agentId ?? '',
    requestId: request.requestId,
  })
  return { status: 201, body: await views.submitted(session) }
}

/** An agent's key sees what it submitted, and of anything else not even that it is there. */
function ownerOf({ scope }: RuntimeRequest): string | undefined {
  return scope?.agentId
}

function assertOperator({ scope }: RuntimeRequest): void {
  if (scope !== undefined) throw new VestryError('ADMIN_REQUIRED')
}

/** Numbers keep how they were written: they are signed. */
function objectOf(raw: Buffer): TokenObject {
  const given = readToolJson(raw)
  if (isTokenObject(given)) return given
  throw new VestryError('INVALID_JSON')
}

function textOf(given: Readonly<Record<string, unknown>>, name: string): string {
  const value = optionalText(given, name)
  if (value === undefined) throw invalidField(name, 'required')
  return value
}

function optionalText(given: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = given[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return value
  throw invalidField(name, 'must be a string')
}

function statusOf(word: string | undefined): (typeof STATUSES)[number] | undefined {
  if (word === undefined || word === '') return undefined
  const found = STATUSES.find((status) => status === word)
  if (found !== undefined) return found
  throw invalidField('status', `must be one of ${STATUSES.join(', ')}`)
}

function wholeNumber(
  name: string,
  text: string | undefined,
  standard: number,
  max: number,
): number {
  if (text === undefined || text === '') return standard
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= 1 && value <= max) return value
  throw invalidField(name, `must be a whole number from 1 to ${max}`)
}

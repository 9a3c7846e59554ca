/** What policy lets through of a reply: filtered as every decision on its way asks, or withheld. */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import type { EgressResult } from '../../egress/send.ts'
import { filterReply, type ResponseFilters } from '../../gateway/filters/response-filters.ts'
import type { Json } from '../../gateway/tools/tool.ts'
import type { Decision } from '../../policy/engine.ts'

export interface FilteredReply extends EgressResult {
  /** Places that were changed. */
  readonly filtered: number
}

/** @throws VestryError ACCESS_DENIED, RESPONSE_TOO_LARGE for a reply that is withheld. */
export function filteredReply(result: EgressResult, decisions: readonly Decision[]): FilteredReply {
  const filters = filtersOf(decisions)
  const { maxResponseBytes: max = Number.POSITIVE_INFINITY } = filters
  // A hop decided later may allow less than what was known when the request was sent.
  if (result.body.length > max)
    throw new VestryError('RESPONSE_TOO_LARGE', `The reply exceeds ${max} bytes`, {
      context: { max_bytes: max, executed: true },
    })
  if ([filters.redact, filters.truncate, filters.pii, filters.block].every(isEmpty))
    return { ...result, filtered: 0 }
  let filtered = 0
  const take = (value: Json, more: Partial<ResponseFilters> = {}): Json => {
    const { maxResponseBytes: _, ...lists } = filters
    const looked = filterReply(value, { ...lists, ...more })
    if ('refused' in looked) throw withheld(decisions)
    filtered += looked.redactions
    return looked.value
  }
  // What cannot be read cannot be filtered.
  if (!isUtf8(result.body)) throw withheld(decisions)
  const text = Buffer.from(result.body).toString('utf8')
  const parsed = jsonOf(text)
  if (parsed !== undefined) take(text, { redact: [], truncate: [], pii: [] }) // blocked as it was written, too
  const clean = take(parsed ?? text)
  const isSame = filtered === 0
  const { headers, url } = take({ headers: result.headers, url: result.url }) as unknown as Pick<
    EgressResult,
    'headers' | 'url'
  >
  const body = isSame
    ? result.body
    : Buffer.from(typeof clean === 'string' && parsed === undefined ? clean : JSON.stringify(clean))
  return { ...result, headers: isSame ? headers : unmeasured(headers), url, body, filtered }
}

function filtersOf(decisions: readonly Decision[]): ResponseFilters {
  const all = decisions.map(({ obligations }) => obligations)
  const union = (name: 'redact' | 'truncate' | 'pii' | 'block') => [
    ...new Set(all.flatMap((one) => one[name])),
  ]
  const sizes = all.flatMap(({ maxResponseBytes: max }) => (max === undefined ? [] : [max]))
  return {
    redact: union('redact'),
    truncate: union('truncate'),
    pii: union('pii'),
    block: union('block'),
    ...(sizes.length > 0 && { maxResponseBytes: Math.min(...sizes) }),
  }
}

/** The length would tell how long what was taken out is. */
function unmeasured({ 'content-length': _, ...headers }: EgressResult['headers']) {
  return headers
}

function jsonOf(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

function withheld(decisions: readonly Decision[]): VestryError {
  const id = decisions[0]?.id ?? ''
  return new VestryError('ACCESS_DENIED', 'The reply holds what the caller may not receive', {
    hint: `"vestry why ${id}" explains the decision`,
    context: { reason_code: 'RESPONSE_BLOCKED', decision: id, executed: true },
  })
}

function isEmpty(list: readonly string[]): boolean {
  return list.length === 0
}

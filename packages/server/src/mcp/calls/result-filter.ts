/** What policy lets through of a result. Text that is JSON is looked into: most tools answer so. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import {
  type Filtered,
  filterReply,
  type ResponseFilters,
} from '../../gateway/filters/response-filters.ts'
import type { Json } from '../../gateway/tools/tool.ts'
import type { Decision } from '../../policy/engine.ts'
import type { ToolResult } from '../hub.ts'

export interface Judged {
  readonly server: string
  readonly name: string
  readonly decision: Decision
}

/** @throws VestryError ACCESS_DENIED for a result that is withheld. */
export function filteredResult(
  result: ToolResult,
  judged: Judged,
): { readonly result: ToolResult; readonly redactions: number } {
  const { obligations } = judged.decision
  if (!isFiltered(obligations)) return { result, redactions: 0 }
  let redactions = 0
  const take = (filtered: Filtered): Json => {
    if ('refused' in filtered) throw withheld(filtered.refused, judged)
    redactions += filtered.redactions
    return filtered.value
  }
  // What servers write as numbers is kept as they wrote it until here.
  const { content, structuredContent } = JSON.parse(JSON.stringify(result)) as {
    content: Json[]
    structuredContent?: Json
  }
  const { maxResponseBytes: _, ...inside } = obligations
  const looked = withTexts(content, (text) => {
    const parsed = jsonOf(text)
    return parsed === undefined ? text : JSON.stringify(take(filterReply(parsed, inside)))
  })
  const whole = take(
    filterReply(
      { content: looked, ...(structuredContent !== undefined && { structuredContent }) },
      obligations,
    ),
  ) as unknown as Pick<ToolResult, 'content'> & Partial<Pick<ToolResult, 'structuredContent'>>
  // A key of the protocol's own that is to be redacted leaves no result behind.
  if (!Array.isArray(whole.content)) throw withheld('RESPONSE_BLOCKED', judged)
  const { structuredContent: structured } = whole
  return {
    result: {
      content: whole.content,
      structuredContent: typeof structured === 'object' ? structured : undefined,
      isError: result.isError,
    },
    redactions,
  }
}

/** What a server says of its failure is a result, too. */
export function filteredError(thrown: unknown, filters: ResponseFilters): unknown {
  const error = asVestryError(thrown)
  if (error.code !== 'MCP_PROTOCOL_ERROR' || !isFiltered(filters)) return thrown
  const { maxResponseBytes: _, ...inside } = filters
  const filtered = filterReply(error.message, inside)
  if ('value' in filtered && filtered.value === error.message) return thrown
  return new VestryError('MCP_PROTOCOL_ERROR', undefined, { cause: thrown })
}

function isFiltered({ redact, truncate, pii, block, maxResponseBytes }: ResponseFilters): boolean {
  const lists = [redact, truncate, pii, block]
  return maxResponseBytes !== undefined || lists.some(({ length }) => length > 0)
}

/** Texts of content parts, and of resources that are embedded in them. */
function withTexts(content: readonly Json[], change: (text: string) => string): Json[] {
  return content.map((part) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part
    const { text, resource } = part
    if (typeof text === 'string') return { ...part, text: change(text) }
    if (typeof resource !== 'object' || resource === null || Array.isArray(resource)) return part
    const inner = resource['text']
    if (typeof inner !== 'string') return part
    return { ...part, resource: { ...resource, text: change(inner) } }
  })
}

function jsonOf(text: string): Json | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

function withheld(
  refused: 'RESPONSE_BLOCKED' | 'RESPONSE_TOO_LARGE',
  { server, name, decision }: Judged,
): VestryError {
  const words =
    refused === 'RESPONSE_TOO_LARGE'
      ? 'the result is larger than the caller may receive'
      : 'the result holds what the caller may not receive'
  return new VestryError('ACCESS_DENIED', words, {
    hint: `"vestry why ${decision.id}" explains the decision`,
    context: {
      tool: `mcp/${server}:${name}`,
      reason_code: refused,
      decision: decision.id,
      executed: true,
    },
  })
}

/** Reads the lists of a server page by page within bounds, and turns what strangers wrote into what we show. */
import { VestryError } from '@vestry/contract/errors'
import { isTokenObject, type TokenJson, type TokenObject } from '../../json/raw-number.ts'
import type { LiveResource, LiveTool } from '../hub.ts'

const MAX_PAGES = 50
const MAX_ITEMS = 5_000
/** Of one tool as JSON; and of all that a server lists. */
const MAX_TOOL_CHARS = 262_144
const MAX_LIST_CHARS = 16 * 1_024 * 1_024
const MAX_NAME = 256
const MAX_URI = 8_192
const MAX_TEXT = 65_536

/** One page: `tools/list`, `resources/list` … with the cursor of the page before. */
export type PageOf = (cursor: string | undefined) => Promise<Readonly<Record<string, unknown>>>

/**
 * @param member Of the page, which holds its items.
 * @param onRead Told how many characters of JSON a page holds.
 * @throws VestryError MCP_PROTOCOL_ERROR for a list that has no end, or is none.
 */
export async function readPages(
  page: PageOf,
  member: string,
  onRead: (chars: number) => void = () => undefined,
): Promise<unknown[]> {
  const items: unknown[] = []
  const seen = new Set<string>()
  let cursor: string | undefined
  let chars = 0
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const reply = await page(cursor)
    const listed = reply[member]
    if (!Array.isArray(listed)) throw broken(`answered without "${member}"`)
    if (items.length + listed.length > MAX_ITEMS)
      throw broken(`lists more than ${MAX_ITEMS} ${member}`)
    items.push(...(listed as unknown[]))
    const more = JSON.stringify(listed).length
    onRead(more)
    chars += more
    if (chars > MAX_LIST_CHARS)
      throw broken(`lists ${member} of more than ${MAX_LIST_CHARS} characters`)
    const next = reply['nextCursor']
    if (typeof next !== 'string') return items
    if (seen.has(next)) throw broken(`lists the same page of ${member} again and again`)
    seen.add(next)
    cursor = next
  }
  throw broken(`lists more than ${MAX_PAGES} pages of ${member}`)
}

export interface Listed<T> {
  readonly items: readonly T[]
  /** What was left out, and why. */
  readonly refused: readonly string[]
}

/** @param before The last listing: a tool that stayed the same stays the same object. */
export function toolsOf(
  server: string,
  items: readonly unknown[],
  before: readonly LiveTool[],
): Listed<LiveTool> {
  const known = new Map(before.map((tool) => [tool.name, tool]))
  const found = new Map<string, LiveTool>()
  const refused: string[] = []
  for (const [at, item] of items.entries()) {
    const tool = toolOf(server, item)
    if (typeof tool === 'string') refused.push(`tool ${at + 1}: ${tool}`)
    else if (found.has(tool.name)) refused.push(`tool ${at + 1}: the name comes twice`)
    else found.set(tool.name, kept(known.get(tool.name), tool))
  }
  return { items: [...found.values()].sort((a, b) => order(a.name, b.name)), refused }
}

export function resourcesOf(
  server: string,
  items: readonly unknown[],
  isTemplate: boolean,
): Listed<LiveResource> {
  const refused: string[] = []
  const found = items.flatMap((item, at): LiveResource[] => {
    const uri = isRecord(item) ? item[isTemplate ? 'uriTemplate' : 'uri'] : undefined
    if (!isRecord(item) || !isName(uri, MAX_URI)) {
      refused.push(`resource ${at + 1}: has no URI that can be shown`)
      return []
    }
    return [
      {
        server,
        uri,
        name: textOf(item['name']),
        description: textOf(item['description']),
        mimeType: textOf(item['mimeType']),
        isTemplate,
      },
    ]
  })
  return { items: found.sort((a, b) => order(a.uri, b.uri)), refused }
}

/** Why not, for what cannot be offered. */
function toolOf(server: string, item: unknown): LiveTool | string {
  if (!isRecord(item)) return 'is no object'
  const { name, inputSchema, outputSchema } = item
  if (!isName(name, MAX_NAME)) return 'has no name that can be shown'
  if (!isSchema(inputSchema)) return 'has no inputSchema'
  if (JSON.stringify(item).length > MAX_TOOL_CHARS)
    return `is longer than ${MAX_TOOL_CHARS} characters`
  return {
    server,
    name,
    description: typeof item['description'] === 'string' ? item['description'] : '',
    inputSchema,
    outputSchema: isSchema(outputSchema) ? outputSchema : undefined,
    annotations: isRecord(item['annotations']) ? item['annotations'] : undefined,
    meta: isRecord(item['_meta']) ? item['_meta'] : undefined,
  }
}

function kept(before: LiveTool | undefined, now: LiveTool): LiveTool {
  return before !== undefined && JSON.stringify(before) === JSON.stringify(now) ? before : now
}

/** What a terminal and a log can show as it is, on one line. */
function isName(value: unknown, max: number): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= max &&
    !/[\p{Cc}\u2028\u2029]/u.test(value)
  )
}

function isSchema(value: unknown): value is TokenObject {
  return isTokenObject(value as TokenJson | undefined)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return isTokenObject(value as TokenJson | undefined)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value.slice(0, MAX_TEXT).toWellFormed() : undefined
}

/** By code units: the same everywhere. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function broken(what: string): VestryError {
  return new VestryError('MCP_PROTOCOL_ERROR', what)
}

/**
 * The file an operator describes an HTTP tool in: its shape, and how it is read. All that is left out is filled in,
 * so that equal tools have equal definitions; what the parts mean together is checked by `tool-check.ts`.
 */
import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import { type Document, isNode, LineCounter, parseDocument } from 'yaml'
import * as z from 'zod'
import { HEADER_TYPES } from '../../egress/injection.ts'
import { MAX_RESPONSE_BYTES } from './builtin.ts'
import type { Json, JsonObject } from './tool.ts'
import { completeTool, type Problem } from './tool-check.ts'

const MAX_TEXT = 262_144

const text = (max: number) => z.string().min(1).max(max)
const Names = z.array(text(64)).max(100)

export const ActionInput = z.strictObject({
  description: z.string().max(2_000).default(''),
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']),
  /** `/contacts/{id}`, after the base URL. */
  path: text(2_048),
  /** Default: `read` for GET and HEAD, else `write`. */
  permission: z.enum(['read', 'write']).optional(),
  /** JSON Schema. Default: no params. */
  params: z.record(z.string(), z.unknown()).default({}),
  /** Names sent as query parameters. Default for GET, HEAD, DELETE: all that go nowhere else. */
  query: Names.optional(),
  /** Names sent as a JSON object, or one sent as it is. Default for POST, PUT, PATCH: all that go nowhere else. */
  body: z
    .union([
      Names,
      z.strictObject({
        raw: text(64),
        content_type: z
          .string()
          .regex(/^[\w.+-]+\/[\w.+-]+(?:; ?[\w-]+=[\w.-]+)?$/, 'must be a media type')
          .max(128)
          .default('text/plain; charset=utf-8'),
      }),
    ])
    .optional(),
  headers: z.record(text(128), z.string().max(2_048)).default({}),
  /** JSON pointer into the reply, or name → pointer. Default: the whole reply. */
  result: z.union([z.string().max(1_024), z.record(text(64), z.string().max(1_024))]).optional(),
  /** Default: GET and HEAD. */
  repeatable: z.boolean().optional(),
  idempotency_header: text(128).optional(),
  timeout_ms: z.int().min(100).max(120_000).default(10_000),
  max_response_bytes: z.int().min(1).max(16_777_216).default(MAX_RESPONSE_BYTES),
  cache_seconds: z.int().min(0).max(86_400).default(0),
  cost_usd: z.number().min(0).max(1_000).default(0),
  /** What mock mode answers. Default: tool, action and params. */
  mock: z.unknown().optional(),
})
export type ActionInput = z.output<typeof ActionInput>

export const CredentialInput = z.strictObject({
  /** Default: `tools/<name>`. */
  path: text(512).optional(),
  header_type: z.enum(HEADER_TYPES).optional(),
  header_name: text(128).optional(),
  header_prefix: z.string().max(256).optional(),
  username: z.string().max(256).optional(),
  /** Instead of a header. */
  query: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must be the name of a query parameter')
    .optional(),
})
export type CredentialInput = z.output<typeof CredentialInput>

export const ToolInput = z.strictObject({
  name: text(64),
  description: text(2_000),
  base_url: text(2_048),
  credential: CredentialInput.optional(),
  actions: z.record(text(64), ActionInput),
})
export type ToolInput = z.output<typeof ToolInput>

/** With every default filled in; reading it again gives the same. */
export interface ToolFile {
  name: string
  description: string
  /** Without trailing slash. */
  base_url: string
  credential?: ToolFileCredential
  actions: Record<string, ToolFileAction>
}

export interface ToolFileCredential extends Omit<CredentialInput, 'path'> {
  path: string
}

export interface ToolFileAction {
  description: string
  method: ActionInput['method']
  path: string
  permission: 'read' | 'write'
  params: JsonObject
  query: string[]
  body: string[] | { raw: string; content_type: string }
  headers: Record<string, string>
  result?: string | Record<string, string>
  repeatable: boolean
  idempotency_header?: string
  timeout_ms: number
  max_response_bytes: number
  cache_seconds: number
  cost_usd: number
  mock?: Json
}

/**
 * @param source YAML or JSON.
 * @param file   Its name, for messages.
 * @throws VestryError `CONFIG_INVALID`; `context.problems` lists every problem with its place.
 */
export function parseToolFile(source: string, file: string): ToolFile {
  if (source.length > MAX_TEXT) throw refused([`${file}: is longer than ${MAX_TEXT} characters`])
  const lines = new LineCounter()
  const doc = parseDocument(source, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const [broken] = doc.errors
  if (broken !== undefined) throw refused([`${place(broken.pos[0])}: ${broken.message}`])
  const read = readTool(plainOf(doc, file))
  if ('tool' in read) return read.tool
  throw refused(
    read.problems.map((problem) => `${place(offsetOf(doc, problem.path))}: ${inWords(problem)}`),
  )
}

/**
 * As {@link parseToolFile}, for a definition that was parsed already.
 *
 * @param where Goes before each problem: `gateway.tools.crm`.
 * @throws VestryError `CONFIG_INVALID`
 */
export function acceptTool(data: unknown, where: string): ToolFile {
  const read = readTool(data)
  if ('tool' in read) return read.tool
  throw refused(read.problems.map((problem) => `${where}: ${inWords(problem)}`))
}

function readTool(data: unknown): { tool: ToolFile } | { problems: readonly Problem[] } {
  const parsed = ToolInput.safeParse(data)
  if (parsed.success) return completeTool(parsed.data)
  return {
    problems: parsed.error.issues.map((issue) => ({
      path: issue.path.map(String),
      message: issueText(issue),
    })),
  }
}

function plainOf(doc: Document.Parsed, file: string): unknown {
  try {
    return doc.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    // Aliases that multiply without end.
    throw new VestryError('CONFIG_INVALID', `${file}: cannot be expanded`, { cause })
  }
}

/** Where the innermost node that exists stands. */
function offsetOf(doc: Document.Parsed, path: readonly string[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node = doc.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

function inWords({ path, message }: Problem): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`
}

function refused(problems: readonly string[]): VestryError {
  return new VestryError('CONFIG_INVALID', problems.join('\n'), { context: { problems } })
}

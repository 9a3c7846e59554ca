/**
 * What somebody submits as a tool, made the one document that is analysed, signed and compared. Missing optional
 * members are filled in; nothing else is rewritten: no trimming, no Unicode normalisation.
 */
import { hash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { schemapinCanonical } from '@vestry/contract/schemapin'
import { readToolJson } from '../json/number-tokens.ts'
import { isTokenObject, type TokenJson, type TokenObject } from '../json/raw-number.ts'
import { MAX_PROBLEMS, type Problem, schemaProblems } from './schema-structure.ts'
import type { ToolDocument } from './tool-document.ts'

export const MAX_NAME_CHARS = 128
export const MAX_DESCRIPTION_CHARS = 20_000
export const MAX_PROVIDER_CHARS = 256
export const MAX_URL_CHARS = 2_048
/** Of the canonical text. */
export const MAX_SCHEMA_BYTES = 262_144
/** Arrays and objects within each other, the schema itself included. */
export const MAX_SCHEMA_DEPTH = 32

/**
 * @param given The tool of a submission, as `readToolJson` read it.
 * @param at What its path begins with in what is told of its problems.
 * @throws VestryError `VALIDATION_ERROR`; `context.fields` lists path and problem of each.
 */
export function toolDocument(given: TokenJson, at = 'tool'): ToolDocument {
  if (!isTokenObject(given)) throw invalid([{ path: at, problem: 'must be an object' }])
  const found: Problem[] = []
  const name = textAt(given, 'name', { at, found, max: MAX_NAME_CHARS, min: 1 })
  const description = textAt(given, 'description', { at, found, max: MAX_DESCRIPTION_CHARS })
  const provider = providerOf(given['provider'], `${at}.provider`, found)
  const schema = schemaOf(given, at, found)
  onlyKnown(given, ['name', 'description', 'provider', 'schema', 'tool_schema'], at, found)
  if (found.length > 0) throw invalid(found)
  return withDefaults({ name, description, provider, schema })
}

/** A tool as its parts are known, such as one that an MCP server lists: only filled in, not judged. */
export function withDefaults(tool: {
  readonly name: string
  readonly description: string
  readonly provider: { readonly name: string; readonly public_key_url?: string | null }
  readonly schema: TokenObject
}): ToolDocument {
  const { name, description, provider, schema } = tool
  return {
    name,
    description,
    provider: { name: provider.name, public_key_url: provider.public_key_url ?? null },
    schema: {
      ...schema,
      type: schema['type'] ?? 'object',
      properties: schema['properties'] ?? {},
      required: schema['required'] ?? [],
    },
  }
}

/** The exact text that is signed and stored. @throws VestryError `INVALID_PARAMS` for what has no canonical form. */
export function documentJson({ name, description, provider, schema }: ToolDocument): string {
  return schemapinCanonical({ name, description, provider, schema })
}

/** @param text Of {@link documentJson}; whoever stored it has seen to it that nobody altered it. */
export function documentOf(text: string): ToolDocument {
  return readToolJson(Buffer.from(text)) as unknown as ToolDocument // written from one
}

/** @returns `sha256:` and 64 hex digits. */
export function digestOf(document: ToolDocument): string {
  return digestOfText(documentJson(document))
}

/** Of text that is canonical already. */
export function digestOfText(canonical: string): string {
  return `sha256:${hash('sha256', canonical)}`
}

function textAt(
  object: TokenObject,
  key: string,
  options: { at: string; found: Problem[]; max: number; min?: number },
): string {
  const { at, found, max, min = 0 } = options
  const path = `${at}.${key}`
  const value = object[key]
  if (value === undefined || value === null) found.push({ path, problem: 'required' })
  else if (typeof value !== 'string') found.push({ path, problem: 'must be a string' })
  else if (value.length < min) found.push({ path, problem: 'must not be empty' })
  else if (charsOf(value) > max) found.push({ path, problem: `must be at most ${max} characters` })
  else return value
  return ''
}

function providerOf(
  value: TokenJson | undefined,
  at: string,
  found: Problem[],
): ToolDocument['provider'] {
  const none = { name: '', public_key_url: null }
  if (value === undefined || value === null) {
    found.push({ path: at, problem: 'required' })
    return none
  }
  if (!isTokenObject(value)) {
    found.push({ path: at, problem: 'must be an object' })
    return none
  }
  onlyKnown(value, ['name', 'public_key_url'], at, found)
  const name = textAt(value, 'name', { at, found, max: MAX_PROVIDER_CHARS, min: 1 })
  const url = value['public_key_url'] ?? null
  if (url === null) return { name, public_key_url: null }
  return {
    name,
    public_key_url: textAt(value, 'public_key_url', { at, found, max: MAX_URL_CHARS }),
  }
}

/** `schema` and `tool_schema` are one member under two names; clients write the one and read the other. */
function schemaOf(tool: TokenObject, at: string, found: Problem[]): TokenObject {
  const one = tool['schema'] ?? undefined
  const other = tool['tool_schema'] ?? undefined
  const key = one === undefined && other !== undefined ? 'tool_schema' : 'schema'
  const path = `${at}.${key}`
  const value = one ?? other
  if (value === undefined) {
    found.push({ path, problem: 'required' })
    return {}
  }
  if (!isTokenObject(value)) {
    found.push({ path, problem: 'must be an object' })
    return {}
  }
  if (depthOf(value) > MAX_SCHEMA_DEPTH) {
    found.push({ path, problem: `must not be nested deeper than ${MAX_SCHEMA_DEPTH} levels` })
    return {}
  }
  const text = schemapinCanonical(value)
  if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES)
    found.push({ path, problem: `must be at most ${MAX_SCHEMA_BYTES} bytes` })
  if (one !== undefined && other !== undefined && !sameText(other, text))
    found.push({ path: `${at}.tool_schema`, problem: 'must equal schema when both are given' })
  const filled = withoutNulls(value)
  const { type } = filled
  if (type !== undefined && type !== 'object')
    found.push({ path: `${path}.type`, problem: 'must be "object"' })
  else found.push(...schemaProblems(filled, path))
  return filled
}

/** Clients send members they were not given as `null`. */
function withoutNulls(schema: TokenObject): TokenObject {
  const optional = ['type', 'properties', 'required'].filter((key) => schema[key] === null)
  if (optional.length === 0) return schema
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !optional.includes(key)))
}

function sameText(value: TokenJson, text: string): boolean {
  return depthOf(value) <= MAX_SCHEMA_DEPTH && schemapinCanonical(value) === text
}

/** What is not signed must not look as if it were. */
function onlyKnown(
  object: TokenObject,
  known: readonly string[],
  at: string,
  found: Problem[],
): void {
  for (const key of Object.keys(object)) {
    if (known.includes(key) || object[key] === null) continue
    found.push({ path: `${at}.${key}`, problem: 'is not a member of a tool' })
  }
}

/** The reader has bounded it already, so this cannot run out of stack. */
function depthOf(value: TokenJson): number {
  if (Array.isArray(value)) {
    let deepest = 0
    for (const item of value as readonly TokenJson[]) deepest = Math.max(deepest, depthOf(item))
    return deepest + 1
  }
  if (!isTokenObject(value)) return 0
  let deepest = 0
  for (const member of Object.values(value)) deepest = Math.max(deepest, depthOf(member))
  return deepest + 1
}

/** As people count: an astral character is one. */
function charsOf(text: string): number {
  let chars = 0
  for (const _ of text) chars += 1
  return chars
}

function invalid(found: readonly Problem[]): VestryError {
  const fields = found.slice(0, MAX_PROBLEMS)
  const lines = fields.map(({ path, problem }) => `${path}: ${problem}`)
  return new VestryError('VALIDATION_ERROR', lines.join('; '), { context: { fields } })
}

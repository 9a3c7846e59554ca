/** What an agent is told to be: its prompt, its model, the tools it may ask for. Read from a client's body. Pure. */
import { issueText } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isAgentName } from '../../identity/agent-name.ts'

export interface AgentDefinition {
  readonly description: string
  readonly systemPrompt: string
  /** As they were written; what they mean is looked up at each execution. */
  readonly tools: readonly string[]
  /** `gpt-4o`, or `provider:model`. */
  readonly model: string
  readonly temperature: number
  readonly topP: number
  readonly maxTokens: number
  /** Members nobody here knows. */
  readonly metadata: Readonly<Record<string, unknown>>
}

export interface NewDefinition {
  readonly id: string
  /** For people. */
  readonly name: string
  readonly definition: AgentDefinition
}

export const MAX_TOOLS = 128
const MAX_METADATA_BYTES = 65_536

const text = (max: number) =>
  z.string().max(max).refine(isWellFormed, 'must be well-formed text without NUL')
const Line = z
  .string()
  .min(1)
  .max(128)
  .refine((value) => /^[^\p{C}]*$/u.test(value), 'must be printable text')

const FIELDS = {
  name: Line,
  description: text(4_096),
  system_prompt: text(65_536),
  tools: z.array(text(256).min(1)).max(MAX_TOOLS),
  model: text(256).min(1),
  temperature: z.number().min(0).max(2),
  top_p: z.number().min(0).max(1),
  max_tokens: z.int().min(1).max(10_000_000),
}
const Id = z.string().refine(isAgentName, {
  error:
    'must be 1 to 128 letters, digits, ".", "_", ":", "@" or "-", begin with a letter or digit, and be no reserved name',
})
const Whole = z.looseObject({ id: Id, ...FIELDS })
const Parts = z.looseObject({ id: Id, ...FIELDS }).partial()
const KNOWN: ReadonlySet<string> = new Set(['id', 'role', ...Object.keys(FIELDS)])

/**
 * @param body As it came; a member that is `null` counts as absent.
 * @throws VestryError VALIDATION_ERROR with every field that is wrong.
 */
export function readDefinition(body: Readonly<Record<string, unknown>>): NewDefinition {
  const given = read(Whole, body)
  const { id, name } = given
  return { id, name, definition: definitionOf(given, metadataOf(body)) }
}

/** @returns `before` with what the body names. @throws VestryError VALIDATION_ERROR */
export function changeDefinition(
  id: string,
  before: { readonly name: string; readonly definition: AgentDefinition | undefined },
  body: Readonly<Record<string, unknown>>,
): NewDefinition {
  const given = read(Parts, body)
  if (given.id !== undefined && given.id !== id)
    throw invalidFields([{ path: 'id', problem: 'must be that of the path' }])
  const old = before.definition
  const known = old === undefined ? {} : definitionBody(old)
  const extra = { ...old?.metadata, ...metadataOf(body) }
  assertMetadata(extra)
  const named = Object.fromEntries(Object.entries(given).filter(([name]) => KNOWN.has(name)))
  const whole = read(Whole, { name: before.name, ...known, ...named, id })
  return { id, name: whole.name, definition: definitionOf(whole, extra) }
}

/** In the words of the wire. */
export function definitionBody(definition: AgentDefinition): Record<string, unknown> {
  return {
    description: definition.description,
    system_prompt: definition.systemPrompt,
    tools: definition.tools,
    model: definition.model,
    temperature: definition.temperature,
    top_p: definition.topP,
    max_tokens: definition.maxTokens,
  }
}

export function invalidFields(
  fields: readonly { readonly path: string; readonly problem: string }[],
): VestryError {
  const words = fields.map(({ path, problem }) => (path === '' ? problem : `${path}: ${problem}`))
  return new VestryError('VALIDATION_ERROR', words.join('; '), { context: { fields } })
}

function definitionOf(
  given: z.output<typeof Whole>,
  metadata: AgentDefinition['metadata'],
): AgentDefinition {
  return {
    description: given.description,
    systemPrompt: given.system_prompt,
    tools: [...new Set(given.tools)],
    model: given.model,
    temperature: given.temperature,
    topP: given.top_p,
    maxTokens: given.max_tokens,
    metadata,
  }
}

function read<S extends z.ZodType>(
  schema: S,
  body: Readonly<Record<string, unknown>>,
): z.output<S> {
  const present = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
  const parsed = schema.safeParse(present)
  if (parsed.success) return parsed.data
  throw invalidFields(
    parsed.error.issues.map((issue) => ({
      path: z.core.toDotPath(issue.path),
      problem: issueText(issue) === 'is required' ? 'required' : issueText(issue),
    })),
  )
}

function metadataOf(body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const extra = Object.entries(body).filter(([name, value]) => !KNOWN.has(name) && value !== null)
  const metadata = Object.fromEntries(extra)
  assertMetadata(metadata)
  return metadata
}

function assertMetadata(metadata: Readonly<Record<string, unknown>>): void {
  if (Buffer.byteLength(JSON.stringify(metadata)) > MAX_METADATA_BYTES)
    throw invalidFields([
      { path: '', problem: `further members may take ${MAX_METADATA_BYTES} bytes together` },
    ])
}

function isWellFormed(value: string): boolean {
  return value.isWellFormed() && !value.includes('\0')
}

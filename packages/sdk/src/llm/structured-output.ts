/**
 * Answers in the shape of a schema: what is asked of the model, and how its text becomes a value that
 * was checked.
 */
import { ConfigurationError, ModelError } from '../sage/errors.ts'
import type { ChatAnswer } from './answer.ts'
import type { ChatOptions } from './chat-options.ts'
import type { ChatInput } from './messages.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject, parseJson } from './providers/json.ts'
import { schemaProblems } from './schema-check.ts'
import { withoutAddedNulls } from './schema-prune.ts'
import {
  isStandardSchema,
  issueTexts,
  type JsonSchema,
  jsonSchemaOf,
  type StandardSchema,
} from './standard-schema.ts'
import { copied, strictSchema } from './strict-schema.ts'

export interface StructuredOptions<T = unknown> {
  /** A JSON Schema, or a validator of a library that speaks Standard Schema. */
  schema: JsonSchema | StandardSchema<T>
  /** The JSON Schema of a validator that writes none itself. */
  jsonSchema?: JsonSchema
  /** What the shape is called. Default: the schema's title, else `output`. */
  name?: string
  /** Answer with the raw message too, and do not throw for text that does not fit. */
  includeRaw?: boolean
  /** Default true: the provider enforces the schema, where it can. */
  strict?: boolean
}

/** With `includeRaw`. */
export interface RawAndParsed<T> {
  readonly raw: ChatAnswer
  /** Null when the text does not fit. */
  readonly parsed: T | null
  readonly parsingError: string | null
}

/** A chat model that answers with values. */
export interface StructuredModel<T> {
  /** @throws ModelError with code `invalid_output` for text that does not fit. */
  invoke(input: ChatInput, options?: ChatOptions): Promise<T>
}

/** What the wire is told, and what to do with the answer's text. */
export interface StructuredPlan<T> {
  readonly responseFormat: JsonObject
  /** @throws ModelError with code `invalid_output`. */
  parse(answer: ChatAnswer): Promise<T>
}

/** @throws ConfigurationError for a schema that cannot be used. */
export function planStructuredOutput<T>(options: StructuredOptions<T>): StructuredPlan<T> {
  const { schema, strict = true } = options
  const validator = isStandardSchema(schema) ? schema : undefined
  const written = options.jsonSchema ?? (validator ? jsonSchemaOf(validator) : schema)
  if (!isObject(written))
    throw new ConfigurationError('schema must be a JSON Schema or a validator')
  const sent = strict ? strictSchema(written) : copied(written)
  const name = schemaName(options.name ?? written['title'])
  const responseFormat = { type: 'json_schema', json_schema: { name, schema: sent, strict } }
  return {
    responseFormat,
    async parse(answer) {
      const given = jsonOf(answer)
      const value = strict ? withoutAddedNulls(written, given) : given
      if (validator === undefined) {
        refuse(schemaProblems(written, value))
        return value as T // checked against the schema; without a validator T is what the caller says
      }
      const result = await validator['~standard'].validate(value)
      if (result.issues !== undefined) throw invalid(issueTexts(result.issues))
      return result.value as T // the validator's own output type
    },
  }
}

/** The same with failure as a value. */
export async function rawAndParsed<T>(
  plan: StructuredPlan<T>,
  raw: ChatAnswer,
): Promise<RawAndParsed<T>> {
  try {
    return { raw, parsed: await plan.parse(raw), parsingError: null }
  } catch (error) {
    const parsingError = error instanceof Error ? error.message : String(error)
    return { raw, parsed: null, parsingError }
  }
}

/** @throws ModelError; the message does not repeat the text, which `includeRaw` hands out. */
function jsonOf({ content, finishReason }: ChatAnswer): unknown {
  if (finishReason === 'content_filter') throw invalid(['the model refused to answer'])
  const value = parseJson(withoutFence(content))
  if (value !== undefined) return value
  const cut = finishReason === 'length' ? ', it was cut off at the token limit' : ''
  throw invalid([`it is not JSON${cut}`])
}

/** The inside of a Markdown code fence that surrounds the whole text; other text as it is. */
export function withoutFence(text: string): string {
  const trimmed = text.trim()
  if (!trimmed.startsWith('```') || !trimmed.endsWith('```') || trimmed.length < 6) return trimmed
  const firstLine = trimmed.indexOf('\n')
  const head = firstLine === -1 ? '' : trimmed.slice(3, firstLine).trim()
  if (firstLine === -1)
    return trimmed
      .slice(3, -3)
      .replace(/^json\b/i, '')
      .trim()
  const inside = trimmed.slice(firstLine + 1, -3).trim()
  return /^[\w+-]*$/.test(head) ? inside : trimmed.slice(3, -3).trim()
}

function schemaName(name: unknown): string {
  const text = typeof name === 'string' ? name : ''
  return text.replaceAll(/[^\w-]+/g, '_').slice(0, 64) || 'output'
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw invalid(problems)
}

function invalid(problems: readonly string[]): ModelError {
  const shown = problems.slice(0, 5).join('; ')
  return new ModelError(`The answer does not fit the schema: ${shown}`, { code: 'invalid_output' })
}

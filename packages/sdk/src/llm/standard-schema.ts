/**
 * Schemas by other libraries, through the Standard Schema interface that zod, valibot and arktype
 * share: `~standard` has a validator and, in newer releases, writes JSON Schema.
 */
import { ConfigurationError } from '../sage/errors.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'

export type JsonSchema = JsonObject

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type StandardResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** @see https://standardschema.dev */
export interface StandardSchema<T = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>
    readonly types?: { readonly input: unknown; readonly output: T } | undefined
  }
}

export function isStandardSchema(schema: unknown): schema is StandardSchema {
  const both = typeof schema === 'object' || typeof schema === 'function'
  if (!both || schema === null || !('~standard' in schema)) return false
  const standard: unknown = schema['~standard']
  return isObject(standard) && typeof standard['validate'] === 'function'
}

/**
 * The JSON Schema of what the validator takes in, by the standard's own member or by the method
 * `toJSONSchema` that zod has.
 *
 * @throws ConfigurationError when the library can write none.
 */
export function jsonSchemaOf(schema: StandardSchema): JsonSchema {
  try {
    const written = standardJsonSchema(schema) ?? ownJsonSchema(schema)
    if (isObject(written)) return written
  } catch (cause) {
    throw new ConfigurationError('The schema cannot be written as JSON Schema', { cause })
  }
  const { vendor } = schema['~standard']
  throw new ConfigurationError(
    `Schemas of ${vendor} do not write JSON Schema here: pass it as jsonSchema beside the schema`,
  )
}

function standardJsonSchema({ '~standard': standard }: StandardSchema): unknown {
  const writer: unknown = 'jsonSchema' in standard ? standard.jsonSchema : undefined
  if (!isObject(writer) || typeof writer['input'] !== 'function') return undefined
  return writer['input']({ target: 'draft-2020-12' })
}

function ownJsonSchema(schema: StandardSchema): unknown {
  const method: unknown = 'toJSONSchema' in schema ? schema.toJSONSchema : undefined
  if (typeof method !== 'function') return undefined
  return method.call(schema, { io: 'input' })
}

/** `path: message` of each issue. */
export function issueTexts(issues: readonly StandardIssue[]): string[] {
  return issues.map(({ message, path = [] }) => {
    const at = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('/')
    return `${at === '' ? 'the answer' : `/${at}`}: ${message}`
  })
}

/**
 * Structured answers where there is no setting for them: a forced tool whose input is the answer, or,
 * beside real tools, an instruction.
 */
import type { ChatRequest, JsonObject } from '../chat-types.ts'
import { isObject } from '../json.ts'

/** How one call obtains its JSON. */
export type Emulation =
  | { readonly method: 'none' }
  /** By words in the system prompt; a code fence around the answer is taken off. */
  | { readonly method: 'instruction' }
  /** `wrapped` when the schema is not of an object and so stands one level down, under {@link WRAPPER}. */
  | {
      readonly method: 'tool'
      readonly name: string
      readonly schema: JsonObject
      readonly wrapped: boolean
    }

export const WRAPPER = 'value'
const MOST_NAME = 64

export function emulationOf(request: ChatRequest): Emulation {
  const format = request.response_format
  if (format === undefined || format.type === 'text') return { method: 'none' }
  if (format.type === 'json_object' || request.tools !== undefined) return { method: 'instruction' }
  const { name, schema = {} } = format.json_schema
  const wrapped = !isOfObject(schema)
  return {
    method: 'tool',
    name: name.replace(/[^\w-]/g, '_').slice(0, MOST_NAME),
    schema: wrapped ? wrap(schema) : { ...schema, type: 'object' },
    wrapped,
  }
}

/** A tool's input is always an object, so only such a schema can be one as it stands. */
function isOfObject(schema: JsonObject): boolean {
  return (
    schema['type'] === 'object' || (schema['type'] === undefined && isObject(schema['properties']))
  )
}

function wrap(schema: JsonObject): JsonObject {
  return {
    type: 'object',
    properties: { [WRAPPER]: moved(schema) },
    required: [WRAPPER],
    additionalProperties: false,
  }
}

/** References are pointers from the root, which now is one level up. */
function moved(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(moved)
  if (!isObject(schema)) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) =>
      name === '$ref' && typeof value === 'string' && value.startsWith('#')
        ? [name, `#/properties/${WRAPPER}${value.slice(1)}`]
        : [name, moved(value)],
    ),
  )
}

/** Tools a model may call: as an agent writes them, and as the wire wants them. */
import { ConfigurationError } from '../sage/errors.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import {
  isStandardSchema,
  type JsonSchema,
  jsonSchemaOf,
  type StandardSchema,
} from './standard-schema.ts'

export interface ToolDefinition {
  readonly name: string
  readonly description?: string
  /** Of the arguments. Default: an object without properties. */
  readonly schema?: JsonSchema | StandardSchema
  /** Let the provider enforce the schema; not every provider can. */
  readonly strict?: boolean
}

/** OpenAI's own form, passed on as it is. */
export interface OpenAiTool {
  readonly type: 'function'
  readonly function: {
    readonly name: string
    readonly description?: string
    readonly parameters?: JsonSchema
    readonly strict?: boolean
  }
}

/** `any` is another word for `required`; any other text is the name of the one tool to call. */
export type ToolChoice =
  | 'auto'
  | 'none'
  | 'required'
  | 'any'
  | (string & {})
  | { readonly type: 'function'; readonly function: { readonly name: string } }

const NO_ARGUMENTS = { type: 'object', properties: {}, additionalProperties: false } as const

/** @throws ConfigurationError that names the tool at fault. */
export function wireTools(tools: readonly (ToolDefinition | OpenAiTool)[]): JsonObject[] {
  if (!Array.isArray(tools)) throw new ConfigurationError('tools must be a list')
  const wire = tools.map((tool, index) => wireTool(tool, `tools[${index}]`))
  const names = wire.map(nameOf)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new ConfigurationError(`There are two tools named ${twice}`)
  return wire
}

function wireTool(tool: unknown, at: string): JsonObject {
  if (!isObject(tool)) throw new ConfigurationError(`${at} must be an object`)
  if (tool['type'] === 'function' && isObject(tool['function'])) {
    named(tool['function'], at)
    return { type: 'function', function: { parameters: NO_ARGUMENTS, ...tool['function'] } }
  }
  const { description, schema, strict } = tool
  return {
    type: 'function',
    function: {
      name: named(tool, at),
      ...(typeof description === 'string' && { description }),
      parameters: parametersOf(schema, at),
      ...(typeof strict === 'boolean' && { strict }),
    },
  }
}

function named({ name }: JsonObject, at: string): string {
  if (typeof name === 'string' && name !== '') return name
  throw new ConfigurationError(`${at} must have a name`)
}

function parametersOf(schema: unknown, at: string): JsonObject {
  if (schema === undefined) return NO_ARGUMENTS
  if (isStandardSchema(schema)) return jsonSchemaOf(schema)
  if (isObject(schema)) return schema
  throw new ConfigurationError(`${at}.schema must be a JSON Schema or a validator`)
}

/** @throws ConfigurationError for a tool that is not among those bound. */
export function wireToolChoice(choice: ToolChoice, tools: readonly JsonObject[]): unknown {
  if (choice === 'auto' || choice === 'none' || choice === 'required') return choice
  if (choice === 'any') return 'required'
  const name = typeof choice === 'string' ? choice : choice.function?.name
  if (tools.some((tool) => nameOf(tool) === name)) return { type: 'function', function: { name } }
  throw new ConfigurationError(
    `toolChoice must be auto, none, required or the name of a bound tool, not ${String(name)}`,
  )
}

function nameOf(tool: JsonObject): unknown {
  return isObject(tool['function']) ? tool['function']['name'] : undefined
}

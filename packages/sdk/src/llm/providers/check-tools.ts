/** The part of a chat request that speaks of tools and of the form of the answer. */
import type { JsonObject, ResponseFormat, Tool, ToolCall, ToolChoice } from './chat-types.ts'
import { filled, flag, invalid, list, object, oneOf, onlyMembers, optional, text } from './check.ts'
import { isTooDeep, MOST_DEPTH } from './json.ts'

const MOST_TOOLS = 128
const TOOL_NAME = /^[A-Za-z0-9_.:-]{1,128}$/
const MODES = ['auto', 'none', 'required'] as const
const TOOL_MEMBERS = new Set(['type', 'function'])
const FUNCTION_MEMBERS = new Set(['name', 'description', 'parameters', 'strict'])
const CALL_MEMBERS = new Set(['id', 'type', 'function', 'index'])
const CALLED_MEMBERS = new Set(['name', 'arguments'])
const FORMAT_MEMBERS = new Set(['type', 'json_schema'])
const SCHEMA_MEMBERS = new Set(['name', 'description', 'schema', 'strict'])

export function toolsOf(value: unknown, place: string): readonly Tool[] {
  return list(value, place, MOST_TOOLS).map((tool, at) => toolOf(tool, `${place}[${at}]`))
}

function toolOf(value: unknown, place: string): Tool {
  const given = object(value, place)
  oneOf(given['type'], `${place}.type`, ['function'])
  onlyMembers(given, place, TOOL_MEMBERS)
  const at = `${place}.function`
  const declared = object(given['function'], at)
  onlyMembers(declared, at, FUNCTION_MEMBERS)
  return {
    type: 'function',
    function: {
      name: toolName(declared['name'], `${at}.name`),
      ...optional(declared, 'description', text, `${at}.description`),
      ...optional(declared, 'parameters', schemaOf, `${at}.parameters`),
      ...optional(declared, 'strict', flag, `${at}.strict`),
    },
  }
}

/** @param tools What the choice may name. */
export function toolChoiceOf(value: unknown, place: string, tools: readonly Tool[]): ToolChoice {
  if (tools.length === 0) throw invalid(place, 'needs tools to choose from')
  if (typeof value === 'string') return oneOf<ToolChoice & string>(value, place, MODES)
  const given = object(value, place)
  oneOf(given['type'], `${place}.type`, ['function'])
  const name = toolName(
    object(given['function'], `${place}.function`)['name'],
    `${place}.function.name`,
  )
  if (!tools.some((tool) => tool.function.name === name)) {
    throw invalid(`${place}.function.name`, `names "${name}", which is not among the tools`)
  }
  return { type: 'function', function: { name } }
}

export function toolCallsOf(value: unknown, place: string): readonly ToolCall[] {
  return list(value, place, MOST_TOOLS).map((call, at) => toolCallOf(call, `${place}[${at}]`))
}

function toolCallOf(value: unknown, place: string): ToolCall {
  const given = object(value, place)
  onlyMembers(given, place, CALL_MEMBERS)
  oneOf(given['type'] ?? 'function', `${place}.type`, ['function'])
  const called = object(given['function'], `${place}.function`)
  onlyMembers(called, `${place}.function`, CALLED_MEMBERS)
  const args = called['arguments'] ?? ''
  return {
    id: filled(given['id'], `${place}.id`),
    type: 'function',
    function: {
      name: toolName(called['name'], `${place}.function.name`),
      arguments: text(args, `${place}.function.arguments`) || '{}',
    },
  }
}

export function responseFormatOf(value: unknown, place: string): ResponseFormat {
  const given: JsonObject = object(value, place)
  const type = oneOf(given['type'], `${place}.type`, ['text', 'json_object', 'json_schema'])
  onlyMembers(given, place, FORMAT_MEMBERS)
  if (type !== 'json_schema') return { type }
  const at = `${place}.json_schema`
  const format = object(given['json_schema'], at)
  onlyMembers(format, at, SCHEMA_MEMBERS)
  return {
    type,
    json_schema: {
      name: filled(format['name'], `${at}.name`),
      ...optional(format, 'description', text, `${at}.description`),
      ...optional(format, 'schema', schemaOf, `${at}.schema`),
      ...optional(format, 'strict', flag, `${at}.strict`),
    },
  }
}

function schemaOf(value: unknown, place: string): JsonObject {
  if (isTooDeep(value)) throw invalid(place, `is nested more than ${MOST_DEPTH} levels deep`)
  return object(value, place)
}

function toolName(value: unknown, place: string): string {
  const name = filled(value, place)
  if (TOOL_NAME.test(name)) return name
  throw invalid(place, 'must be 1 to 128 letters, digits, or any of _ . : -')
}

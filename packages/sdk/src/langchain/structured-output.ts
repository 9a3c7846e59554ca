/** Structured output as LangChain.js offers it, by the same plan as without LangChain. */
import type { BaseLanguageModelInput } from '@langchain/core/language_models/base'
import type { AIMessageChunk } from '@langchain/core/messages'
import { type Runnable, RunnableLambda } from '@langchain/core/runnables'
import { toJsonSchema } from '@langchain/core/utils/json_schema'
import {
  type InteropZodType,
  interopSafeParseAsync,
  isInteropZodSchema,
} from '@langchain/core/utils/types'
import type { JsonObject } from '../llm/providers/chat-types.ts'
import { isObject } from '../llm/providers/json.ts'
import {
  isStandardSchema,
  type JsonSchema,
  jsonSchemaOf,
  type StandardSchema,
} from '../llm/standard-schema.ts'
import {
  planStructuredOutput,
  rawAndParsed,
  type StructuredPlan,
} from '../llm/structured-output.ts'
import { ConfigurationError } from '../sage/errors.ts'
import type { GatewayChatModelCallOptions } from './chat-model.ts'
import { toAnswer } from './messages.ts'

/** A JSON Schema, a zod schema of any release, or another validator that speaks Standard Schema. */
export type LangChainSchema<T> = JsonSchema | StandardSchema<T> | InteropZodType<T>

export interface StructuredConfig {
  name?: string
  /** Default `jsonSchema`. `jsonMode` sends no schema; `functionCalling` asks through a tool. */
  method?: 'jsonSchema' | 'jsonMode' | 'functionCalling' | string
  includeRaw?: boolean
  strict?: boolean
}

/** With `includeRaw`. */
export interface StructuredResult<T> {
  raw: AIMessageChunk
  /** Null when the text does not fit. */
  parsed: T | null
  parsing_error: string | null
}

type Bind = (
  options: Partial<GatewayChatModelCallOptions>,
) => Runnable<BaseLanguageModelInput, AIMessageChunk, GatewayChatModelCallOptions>

/** @throws ConfigurationError for a schema or a method that cannot be used. */
export function structuredRunnable<T>(
  bind: Bind,
  schema: LangChainSchema<T>,
  config: StructuredConfig,
): Runnable<BaseLanguageModelInput, T> | Runnable<BaseLanguageModelInput, StructuredResult<T>> {
  const { name, method = 'jsonSchema', includeRaw = false, strict } = config
  const { validator, jsonSchema } = understood(schema)
  const plan = planStructuredOutput<T>({
    schema: validator ?? jsonSchema,
    jsonSchema,
    ...(name !== undefined && { name }),
    strict: strict ?? method === 'jsonSchema',
  })
  const asking = bind(optionsOf(plan, method))
  const text = method === 'functionCalling' ? argumentsOf : contentOf
  if (!includeRaw) {
    return asking.pipe(RunnableLambda.from((raw) => plan.parse(toAnswer(raw, text(raw)))))
  }
  return asking.pipe(
    RunnableLambda.from(async (raw): Promise<StructuredResult<T>> => {
      const { parsed, parsingError } = await rawAndParsed(plan, toAnswer(raw, text(raw)))
      return { raw, parsed, parsing_error: parsingError }
    }),
  )
}

function understood<T>(schema: LangChainSchema<T>): {
  validator: StandardSchema<T> | undefined
  jsonSchema: JsonSchema
} {
  if (isInteropZodSchema(schema)) {
    return { validator: zodValidator(schema as InteropZodType<T>), jsonSchema: written(schema) }
  }
  if (isStandardSchema(schema)) {
    return { validator: schema as StandardSchema<T>, jsonSchema: jsonSchemaOf(schema) }
  }
  if (isObject(schema)) return { validator: undefined, jsonSchema: schema }
  throw new ConfigurationError('schema must be a JSON Schema or a validator')
}

/** Older releases of zod do not speak Standard Schema. */
function zodValidator<T>(schema: InteropZodType<T>): StandardSchema<T> {
  return {
    '~standard': {
      version: 1,
      vendor: 'zod',
      async validate(value) {
        const result = await interopSafeParseAsync(schema, value)
        return result.success ? { value: result.data } : { issues: result.error.issues }
      },
    },
  }
}

function written(schema: InteropZodType): JsonSchema {
  if (
    isStandardSchema(schema) &&
    ('toJSONSchema' in schema || 'jsonSchema' in schema['~standard'])
  ) {
    return jsonSchemaOf(schema)
  }
  return toJsonSchema(schema) as JsonObject
}

function optionsOf<T>(
  { responseFormat }: StructuredPlan<T>,
  method: string,
): Partial<GatewayChatModelCallOptions> {
  const { name, schema, strict } = responseFormat['json_schema'] as JsonObject // as the plan writes it
  switch (method) {
    case 'jsonSchema':
      return { response_format: responseFormat }
    case 'jsonMode':
      return { response_format: { type: 'json_object' } }
    case 'functionCalling': {
      const tool = { type: 'function', function: { name, parameters: schema, strict } }
      return { tools: [tool], tool_choice: String(name), parallel_tool_calls: false }
    }
    default:
      throw new ConfigurationError(
        `method must be jsonSchema, jsonMode or functionCalling, not ${method}`,
      )
  }
}

function contentOf(message: AIMessageChunk): string {
  return message.text
}

function argumentsOf({ tool_calls = [], invalid_tool_calls = [], text }: AIMessageChunk): string {
  const [call] = tool_calls
  if (call !== undefined) return JSON.stringify(call.args)
  return invalid_tool_calls[0]?.args ?? text
}

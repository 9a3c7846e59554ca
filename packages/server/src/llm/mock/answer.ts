/** What the stand-in model answers: the same for the same request, and counted like a real one. */
import { hash } from 'node:crypto'
import type {
  ChatRequest,
  FinishReason,
  JsonObject,
  ToolCall,
  Usage,
} from '@vestry/sdk/llm/providers'
import { leadsIn } from './leads.ts'
import { sampleOf } from './sample.ts'

const CHARS_PER_TOKEN = 4
const ECHO_CHARS = 120

export interface MockAnswer {
  readonly text: string
  readonly toolCalls: readonly ToolCall[]
  readonly finishReason: FinishReason
  readonly usage: Usage
}

export function answerTo(request: ChatRequest): MockAnswer {
  const prompt = promptOf(request)
  const toolCalls = demandedCalls(request, prompt)
  const full = toolCalls.length > 0 ? '' : textFor(request, prompt)
  const limit = (request.max_completion_tokens ?? request.max_tokens ?? Infinity) * CHARS_PER_TOKEN
  const text = full.slice(0, limit)
  const completion =
    tokensOf(text) + toolCalls.reduce((sum, call) => sum + tokensOf(call.function.arguments), 0)
  const promptTokens = tokensOf(JSON.stringify(request.messages))
  return {
    text,
    toolCalls,
    finishReason:
      toolCalls.length > 0 ? 'tool_calls' : text.length < full.length ? 'length' : 'stop',
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completion,
      total_tokens: promptTokens + completion,
    },
  }
}

function tokensOf(text: string): number {
  return Math.ceil(text.length / CHARS_PER_TOKEN)
}

/** The last thing a user said, or a tool answered. */
function promptOf({ messages }: ChatRequest): string {
  const asked = messages.filter(({ role }) => role === 'user' || role === 'tool').at(-1)
  if (asked === undefined) return ''
  if (typeof asked.content === 'string') return asked.content
  return asked.content
    .map((part) => (part.type === 'text' ? part.text : `[${part.type}]`))
    .join('\n')
}

function textFor({ response_format, messages }: ChatRequest, prompt: string): string {
  const leads = leadsIn(prompt)
  if (response_format?.type === 'json_schema')
    return JSON.stringify(sampleOf(response_format.json_schema.schema ?? {}, leads))
  const findings = leads.map(({ rule, line, message }) => ({
    rule,
    line,
    message,
    severity: 'medium',
  }))
  if (response_format?.type === 'json_object') return JSON.stringify({ findings })
  const told = JSON.stringify(messages)
  if (/\bJSON (?:array|list)\b/i.test(told)) return JSON.stringify(findings)
  if (/\bJSON\b/i.test(told)) return JSON.stringify({ findings })
  if (leads.length > 0)
    return leads.map(({ line, message, text }) => `Line ${line}: ${message} (${text}).`).join('\n')
  const echo = prompt.replace(/\s+/g, ' ').trim().slice(0, ECHO_CHARS)
  return `Mock answer to: ${echo}`
}

/** Tools are called only where the request insists. */
function demandedCalls(
  { tools = [], tool_choice, parallel_tool_calls }: ChatRequest,
  prompt: string,
): ToolCall[] {
  if (tool_choice === undefined || tool_choice === 'auto' || tool_choice === 'none') return []
  const name = tool_choice === 'required' ? undefined : tool_choice.function.name
  const wanted = name === undefined ? tools : tools.filter((tool) => tool.function.name === name)
  const called = parallel_tool_calls === false || name !== undefined ? wanted.slice(0, 1) : wanted
  return called.map(({ function: tool }, index) => {
    const args = JSON.stringify(sampleOf(parametersOf(tool.parameters), leadsIn(prompt)))
    const id = hash('sha256', `${tool.name} ${index} ${prompt}`, 'hex').slice(0, 24)
    return { id: `call_${id}`, type: 'function', function: { name: tool.name, arguments: args } }
  })
}

/** Arguments are an object, whatever their schema forgets to say. */
function parametersOf(schema: JsonObject | undefined): JsonObject {
  return { ...schema, type: 'object' }
}

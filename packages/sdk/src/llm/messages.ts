/** The messages of a chat as an agent writes and reads them, and their form on the wire. */
import { ValidationError } from '../sage/errors.ts'
import { type ContentBlock, type WirePart, wireParts } from './content.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'

/** Text, or a list of blocks: text, images, PDFs. */
export type Content = string | readonly ContentBlock[]

/** A tool the model wants to be called. */
export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly args: Record<string, unknown>
}

/** A tool call whose arguments are not the JSON text of an object. */
export interface InvalidToolCall {
  readonly id: string
  readonly name: string
  /** As the model wrote them. */
  readonly arguments: string
  readonly error: string
}

export interface SystemMessage {
  readonly role: 'system' | 'developer'
  readonly content: Content
}

export interface UserMessage {
  readonly role: 'user'
  readonly content: Content
}

export interface AssistantMessage {
  readonly role: 'assistant'
  readonly content: Content
  readonly toolCalls?: readonly ToolCall[]
}

export interface ToolMessage {
  readonly role: 'tool'
  /** The `id` of the tool call that this answers. */
  readonly toolCallId: string
  readonly content: Content
}

export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage

/** One text is one user message. */
export type ChatInput = string | readonly (ChatMessage | string)[]

/** The roles of other frameworks, by the name that goes onto the wire. */
const ROLES: ReadonlyMap<unknown, string> = new Map([
  ['system', 'system'],
  ['developer', 'developer'],
  ['assistant', 'assistant'],
  ['ai', 'assistant'],
  ['tool', 'tool'],
])

/**
 * @returns OpenAI messages. A role nobody knows speaks as the user.
 * @throws ValidationError that names the message at fault.
 */
export function wireMessages(input: ChatInput): JsonObject[] {
  const list = typeof input === 'string' ? [input] : input
  if (!Array.isArray(list)) throw new ValidationError('Messages must be a text or a list')
  if (list.length === 0) throw new ValidationError('There must be at least one message')
  return list.map((message, index) => wireMessage(message, `messages[${index}]`))
}

function wireMessage(message: unknown, at: string): JsonObject {
  if (typeof message === 'string') return { role: 'user', content: message }
  if (!isObject(message)) throw new ValidationError(`${at} must be a text or an object with a role`)
  const role = ROLES.get(message['role']) ?? 'user'
  // Elsewhere an answer that only calls tools has no content at all.
  const said = message['content'] ?? (role === 'assistant' ? '' : undefined)
  const content = wireContent(said, `${at}.content`)
  if (role === 'tool') return { role, tool_call_id: toolCallId(message, at), content }
  if (role !== 'assistant') return { role, content }
  const calls = message['toolCalls'] ?? []
  if (!Array.isArray(calls)) throw new ValidationError(`${at}.toolCalls must be a list`)
  const tool_calls = calls.map((call, index) => wireToolCall(call, `${at}.toolCalls[${index}]`))
  return { role, content, ...(tool_calls.length > 0 && { tool_calls }) }
}

function wireContent(content: unknown, at: string): string | WirePart[] {
  if (typeof content === 'string') return content
  if (Array.isArray(content)) return wireParts(content, at)
  throw new ValidationError(`${at} must be a text or a list of content blocks`)
}

function toolCallId(message: JsonObject, at: string): string {
  const id = message['toolCallId']
  if (typeof id === 'string' && id !== '') return id
  throw new ValidationError(`${at}.toolCallId must be the id of the tool call it answers`)
}

function wireToolCall(call: unknown, at: string): JsonObject {
  if (!isObject(call)) throw new ValidationError(`${at} must be an object`)
  const { id, name, args } = call
  if (typeof id !== 'string' || typeof name !== 'string' || !isObject(args)) {
    throw new ValidationError(`${at} must have an id, a name and args, an object`)
  }
  return { id, type: 'function', function: { name, arguments: jsonText(args, `${at}.args`) } }
}

function jsonText(value: unknown, at: string): string {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new ValidationError(`${at} cannot be written as JSON`, { cause })
  }
}

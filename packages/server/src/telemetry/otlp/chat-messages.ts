/** Finds the messages of a chat in what was captured of a model call, whichever library made it. */
import { list, members, type Payload, text } from './coat-event.ts'

export interface ChatMessage {
  readonly role: string
  /** Absent when only the role is known. */
  readonly content?: string
  readonly toolCalls?: readonly { readonly id?: string; readonly name?: string }[]
}

/** Messages of one record; a receiver is told how many more there were. */
export const MAX_MESSAGES = 128

/** @param preview The captured `preview` of a request. */
export function inputMessages(preview: Payload): ChatMessage[] {
  const args = list(preview['args'])
  const options = members(preview['kwargs']) ?? {}
  const first = args[0]
  const holder = Object.keys(options).length > 0 ? options : (members(first) ?? {})
  const system = textOf(holder['system'] ?? holder['instructions'])
  const found = Array.isArray(first) ? messagesOf(first) : asked(holder, first)
  return system === undefined ? found : [{ role: 'system', content: system }, ...found]
}

function asked(holder: Payload, first: unknown): ChatMessage[] {
  for (const name of ['messages', 'input', 'prompt', 'contents']) {
    const value = holder[name]
    if (Array.isArray(value)) return messagesOf(value)
    if (text(value) !== undefined) return [{ role: 'user', content: value as string }]
  }
  return text(first) === undefined ? [] : [{ role: 'user', content: first as string }]
}

/** @param result The captured result of a request: a text, a message, or a provider's reply around it. */
export function outputMessages(result: unknown): ChatMessage[] {
  if (text(result) !== undefined) return [{ role: 'assistant', content: result as string }]
  const reply = members(result)
  if (reply === undefined) return Array.isArray(result) ? messagesOf(result, 'assistant') : []
  const choices = list(reply['choices']).flatMap((choice) => {
    const one = members(choice)
    return one === undefined ? [] : [one['message'] ?? { content: one['text'] }]
  })
  if (choices.length > 0) return messagesOf(choices, 'assistant')
  const candidates = list(reply['candidates']).map((candidate) => members(candidate)?.['content'])
  if (candidates.length > 0) return messagesOf(candidates, 'assistant')
  if (Array.isArray(reply['output'])) return messagesOf(reply['output'], 'assistant')
  const said = reply['text'] ?? reply['output_text']
  if (text(said) !== undefined) return [{ role: 'assistant', content: said as string }]
  return reply['content'] === undefined ? [] : messagesOf([reply], 'assistant')
}

/** Only what the metadata says of them. */
export function rolesOnly(messages: Payload | undefined): ChatMessage[] {
  return list(messages?.['roles']).flatMap((role) => (typeof role === 'string' ? [{ role }] : []))
}

function messagesOf(items: readonly unknown[], standard = 'user'): ChatMessage[] {
  return items.flatMap((item) => {
    if (typeof item === 'string') return [{ role: standard, content: item }]
    const message = members(item)
    if (message === undefined) return []
    const role = text(message['role']) ?? standard
    const content = textOf(message['content'] ?? message['parts'])
    const toolCalls = toolCallsOf(message)
    return [
      {
        role: role === 'model' ? 'assistant' : role,
        ...(content !== undefined && { content }),
        ...(toolCalls.length > 0 && { toolCalls }),
      },
    ]
  })
}

/** Text, or the text of its parts; what is no text is told by its type. */
function textOf(content: unknown): string | undefined {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const parts = content.flatMap((item) => {
    if (typeof item === 'string') return [item]
    const part = members(item)
    const said = part?.['text'] ?? part?.['thinking']
    if (typeof said === 'string') return [said]
    const type = text(part?.['type'])
    return type === undefined || type === 'tool_use' ? [] : [`<${type}>`]
  })
  return parts.length === 0 ? undefined : parts.join('\n')
}

function toolCallsOf(message: Payload): { id?: string; name?: string }[] {
  const blocks = list(message['content']).filter((part) => members(part)?.['type'] === 'tool_use')
  return [...list(message['tool_calls']), ...blocks].flatMap((item) => {
    const call = members(item)
    if (call === undefined) return []
    const id = text(call['id'])
    const name = text(call['name']) ?? text(members(call['function'])?.['name'])
    return [{ ...(id !== undefined && { id }), ...(name !== undefined && { name }) }]
  })
}

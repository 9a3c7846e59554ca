/** A conversation in Anthropic's form: system apart, roles in turn, tool results as the user's. */
import type {
  AssistantMessage,
  ChatMessage,
  ContentPart,
  JsonObject,
  ToolMessage,
} from '../chat-types.ts'
import { invalid } from '../check.ts'
import { dataUriOf, wordsOf } from '../content-parts.ts'
import { argumentsOf } from '../tool-arguments.ts'

interface Turn {
  readonly role: 'user' | 'assistant'
  readonly content: JsonObject[]
}

/** System and developer messages, wherever they stand, joined by blank lines. */
export function systemOf(messages: readonly ChatMessage[]): string {
  return messages
    .filter(({ role }) => role === 'system' || role === 'developer')
    .map(({ content }) => wordsOf(content))
    .filter((text) => text.trim() !== '')
    .join('\n\n')
}

/** @throws ProviderFault when nothing is left to send, or arguments in the history are not an object. */
export function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  const turns: Turn[] = []
  messages.forEach((message, at) => {
    const content = blocksOf(message, `messages[${at}]`)
    if (content.length === 0) return
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const latest = turns.at(-1)
    if (latest?.role === role) latest.content.push(...content)
    else turns.push({ role, content })
  })
  if (turns.length === 0) throw invalid('messages', 'must hold a user message with content')
  return turns
}

function blocksOf(message: ChatMessage, place: string): JsonObject[] {
  switch (message.role) {
    case 'user':
      return partsOf(message.content)
    case 'assistant':
      return assistantBlocks(message, place)
    case 'tool':
      return [toolResult(message)]
    default:
      return []
  }
}

function assistantBlocks(message: AssistantMessage, place: string): JsonObject[] {
  const calls = (message.tool_calls ?? []).map((call, at) => ({
    type: 'tool_use',
    id: idOf(call.id),
    name: call.function.name,
    input: argumentsOf(call, `${place}.tool_calls[${at}]`),
  }))
  return [...partsOf(message.content), ...calls]
}

function toolResult({ tool_call_id, content }: ToolMessage): JsonObject {
  const result = typeof content === 'string' ? content : partsOf(content)
  return {
    type: 'tool_result',
    tool_use_id: idOf(tool_call_id),
    ...(result.length > 0 && { content: result }),
  }
}

function partsOf(content: string | readonly ContentPart[]): JsonObject[] {
  const parts: readonly ContentPart[] =
    typeof content === 'string' ? [{ type: 'text', text: content }] : content
  return parts.flatMap(blockOf)
}

/** Text of nothing but spaces is refused, so it counts as empty. */
function blockOf(part: ContentPart): JsonObject[] {
  switch (part.type) {
    case 'text':
      return part.text.trim() === '' ? [] : [{ type: 'text', text: part.text }]
    case 'image_url':
      return [{ type: 'image', source: sourceOf(part.image_url.url) }]
    case 'file': {
      const { file_data, filename } = part.file
      return [{ type: 'document', source: sourceOf(file_data), title: filename }]
    }
  }
}

function sourceOf(url: string): JsonObject {
  const inline = dataUriOf(url)
  if (inline === undefined) return { type: 'url', url }
  return { type: 'base64', media_type: inline.mediaType, data: inline.data }
}

/** Ids of other providers may hold characters that Anthropic refuses; both ends are renamed alike. */
function idOf(id: string): string {
  return id.replace(/[^\w-]/g, '_')
}

/** A conversation in Gemini's form: system apart, calls and results matched by name. */
import type {
  AssistantMessage,
  ChatMessage,
  ContentPart,
  JsonObject,
  ToolMessage,
} from '../chat-types.ts'
import { invalid } from '../check.ts'
import { dataUriOf, wordsOf } from '../content-parts.ts'
import { isTooDeep, parseObject } from '../json.ts'
import type { CallScope } from '../provider.ts'
import { argumentsOf } from '../tool-arguments.ts'

interface Content {
  readonly role: 'user' | 'model'
  readonly parts: JsonObject[]
}

interface Turn extends Content {
  /** Results answer the calls right before them, so they stay apart from what the user says. */
  readonly results: boolean
}

const IMAGE_TYPES: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
}

/** One part per system or developer message. */
export function systemPartsOf(messages: readonly ChatMessage[]): JsonObject[] {
  return messages
    .filter(({ role }) => role === 'system' || role === 'developer')
    .map(({ content }) => wordsOf(content))
    .filter((text) => text !== '')
    .map((text) => ({ text }))
}

/** @throws ProviderFault for a result without its call, and for arguments that are not an object. */
export function contentsOf(messages: readonly ChatMessage[], scope: CallScope): Content[] {
  const turns: Turn[] = []
  const names = new Map<string, string>()
  messages.forEach((message, at) => {
    const place = `messages[${at}]`
    const results = message.role === 'tool'
    const parts = partsOf(message, place, names, scope)
    if (parts.length === 0) return
    const role = message.role === 'assistant' ? 'model' : 'user'
    const latest = turns.at(-1)
    if (latest?.role === role && latest.results === results) latest.parts.push(...parts)
    else turns.push({ role, parts, results })
  })
  if (turns.length === 0) throw invalid('messages', 'must hold a user message with content')
  return turns.map(({ role, parts }) => ({ role, parts: resultsFirst(parts) }))
}

function partsOf(
  message: ChatMessage,
  place: string,
  names: Map<string, string>,
  scope: CallScope,
): JsonObject[] {
  switch (message.role) {
    case 'user':
      return saidIn(message.content)
    case 'assistant':
      return [...saidIn(message.content), ...callsIn(message, place, names, scope)]
    case 'tool':
      return resultIn(message, place, names)
    default:
      return []
  }
}

function callsIn(
  { tool_calls = [] }: AssistantMessage,
  place: string,
  names: Map<string, string>,
  scope: CallScope,
): JsonObject[] {
  return tool_calls.map((call, at) => {
    const { name } = call.function
    names.set(call.id, name)
    const thoughtSignature = scope.signatures.get(call.id)
    const args = argumentsOf(call, `${place}.tool_calls[${at}]`)
    return {
      functionCall: { name, args },
      ...(thoughtSignature !== undefined && { thoughtSignature }),
    }
  })
}

function resultIn(message: ToolMessage, place: string, names: Map<string, string>): JsonObject[] {
  const name = names.get(message.tool_call_id)
  if (name === undefined)
    throw invalid(`${place}.tool_call_id`, 'belongs to no tool call before it')
  const text = wordsOf(message.content)
  const parsed = parseObject(text)
  const response = parsed === undefined || isTooDeep(parsed) ? { result: text } : parsed
  const { content } = message
  const media = typeof content === 'string' ? [] : content.filter(({ type }) => type !== 'text')
  return [{ functionResponse: { name, response } }, ...saidIn(media)]
}

/** Pictures that came with a result follow all results: Gemini counts those against the calls. */
function resultsFirst(parts: readonly JsonObject[]): JsonObject[] {
  const isResult = (part: JsonObject) => 'functionResponse' in part
  return [...parts.filter(isResult), ...parts.filter((part) => !isResult(part))]
}

function saidIn(content: string | readonly ContentPart[]): JsonObject[] {
  if (typeof content === 'string') return content === '' ? [] : [{ text: content }]
  return content.flatMap((part) => {
    if (part.type === 'text') return part.text === '' ? [] : [{ text: part.text }]
    return [part.type === 'file' ? mediaOf(part.file.file_data) : mediaOf(part.image_url.url)]
  })
}

function mediaOf(url: string): JsonObject {
  const inline = dataUriOf(url)
  if (inline !== undefined) return { inlineData: { mimeType: inline.mediaType, data: inline.data } }
  const ending = /\.([a-z]+)(?:[?#]|$)/i.exec(url)?.[1]?.toLowerCase() ?? ''
  const mimeType = Object.hasOwn(IMAGE_TYPES, ending) ? IMAGE_TYPES[ending] : undefined
  return { fileData: { ...(mimeType !== undefined && { mimeType }), fileUri: url } }
}

/** Figures of a chat that say nothing of its content: how many messages, whose, how long. */
import { fields, list } from './shapes.ts'

export interface ChatMessage {
  readonly role: string
  readonly content: unknown
}

const MAX_MESSAGES = 128
const MAX_PARTS = 64

export interface MessageFigures {
  readonly count: number
  readonly roles: readonly string[]
  readonly chars: readonly number[]
}

export function messageFigures(messages: readonly ChatMessage[]): MessageFigures {
  const told = messages.slice(0, MAX_MESSAGES)
  return {
    count: messages.length,
    roles: told.map((message) => message.role),
    chars: told.map((message) => chars(message.content)),
  }
}

/** Characters of text in a content, whether plain or in parts. */
export function chars(content: unknown): number {
  if (typeof content === 'string') return content.length
  let sum = 0
  for (const part of list(content).slice(0, MAX_PARTS)) {
    if (typeof part === 'string') sum += part.length
    else {
      const text = fields(part)?.['text']
      if (typeof text === 'string') sum += text.length
    }
  }
  return sum
}

/** What LangChain tells of a model call, as metadata of our events. Pure, and it never keeps content. */
import type { ChatMessage } from '../adapters/messages.ts'
import { messageFigures } from '../adapters/messages.ts'
import {
  type Fields,
  fields,
  figure,
  firstText,
  list,
  present,
  presentOrNone,
  text,
} from '../adapters/shapes.ts'
import type { Usage } from '../adapters/usage.ts'
import { recogniseUsage } from '../recognise/index.ts'

/** Roles as the chat APIs name them, by LangChain's type of message. */
const ROLES: Record<string, string> = { human: 'user', ai: 'assistant', generic: 'user' }

export function chatMessages(groups: unknown): ChatMessage[] {
  return list(groups).flatMap((group) => list(group).map(chatMessage))
}

export function chatMessage(message: unknown): ChatMessage {
  const said = fields(message)
  const type = typeOf(message)
  return { role: ROLES[type] ?? type, content: said?.['content'] }
}

function typeOf(message: unknown): string {
  const said = fields(message)
  const own = text(said?.['type']) ?? text(said?.['role'])
  if (own !== undefined) return own
  const getType = said?.['_getType']
  return typeof getType === 'function' ? String(getType.call(message)) : 'unknown'
}

export function request(
  serialized: unknown,
  messages: readonly ChatMessage[],
  extra: unknown,
  metadata: unknown,
): Record<string, unknown> {
  const call = fields(fields(extra)?.['invocation_params']) ?? {}
  const told = fields(metadata) ?? {}
  return present({
    operation: told['ls_model_type'] === 'llm' ? 'text_completion' : 'chat',
    provider: text(told['ls_provider'])?.toLowerCase(),
    model: firstText(
      call['model'],
      call['model_name'],
      call['modelName'],
      told['ls_model_name'],
      fields(fields(serialized)?.['kwargs'])?.['model'],
    ),
    params: presentOrNone({
      temperature: figure(call['temperature']) ?? figure(told['ls_temperature']),
      max_tokens:
        figure(call['max_tokens']) ??
        figure(call['max_completion_tokens']) ??
        figure(told['ls_max_tokens']),
      top_p: figure(call['top_p']) ?? figure(call['topP']),
      top_k: figure(call['top_k']) ?? figure(call['topK']),
      seed: figure(call['seed']),
      stop: stops(call, told),
      stream: typeof call['stream'] === 'boolean' ? call['stream'] : undefined,
    }),
    messages: messages.length > 0 ? messageFigures(messages) : undefined,
    tools: toolNames(call['tools'] ?? call['functions']),
    response_format: firstText(fields(call['response_format'])?.['type'], call['response_format']),
  })
}

function stops(call: Fields, told: Fields): readonly unknown[] | undefined {
  const stop = [call['stop'], call['stop_sequences'], told['ls_stop']].find(
    (each) => list(each).length > 0,
  )
  return stop === undefined ? undefined : list(stop)
}

function toolNames(tools: unknown): string[] | undefined {
  const names = list(tools).flatMap((tool) => {
    const name = firstText(fields(fields(tool)?.['function'])?.['name'], fields(tool)?.['name'])
    return name === undefined ? [] : [name]
  })
  return names.length > 0 ? names : undefined
}

export interface Reply {
  readonly payload: Record<string, unknown>
  readonly usage: Usage | undefined
  /** The provider's id of the message, where it gave one. */
  readonly messageId: string | undefined
  readonly content: unknown
}

export function reply(output: unknown): Reply {
  const result = fields(output)
  const generations = list(result?.['generations']).flatMap((each) => list(each))
  const first = fields(generations[0])
  const message = fields(first?.['message'])
  const about = fields(message?.['response_metadata'])
  const block = fields(result?.['llmOutput'])
  const messageId = text(message?.['id'])
  const reasons = generations.flatMap((each) => finishReason(each))
  const toolCalls = list(message?.['tool_calls']).map((call) =>
    present({ id: text(fields(call)?.['id']), name: text(fields(call)?.['name']) }),
  )
  const usage = recogniseUsage(message?.['usage_metadata']) ?? blockUsage(block)
  return {
    payload: present({
      response_model: firstText(about?.['model_name'], about?.['model'], block?.['model_name']),
      // LangChain makes up ids that begin with `run-` where the provider gave none.
      response_id: messageId?.startsWith('run-') === true ? undefined : messageId,
      finish_reasons: reasons.length > 0 ? reasons : undefined,
      tool_calls: toolCalls.length > 0 ? toolCalls : undefined,
    }),
    usage,
    messageId,
    content: message === undefined ? first?.['text'] : message['content'],
  }
}

function finishReason(generation: unknown): string[] {
  const about = fields(fields(fields(generation)?.['message'])?.['response_metadata'])
  const info = fields(fields(generation)?.['generationInfo'])
  const reason = firstText(
    about?.['finish_reason'],
    about?.['stop_reason'],
    about?.['finishReason'],
    info?.['finish_reason'],
    info?.['finishReason'],
  )
  return reason === undefined ? [] : [reason]
}

/** The block of older integrations, in the words of their provider. */
function blockUsage(block: Fields | undefined): Usage | undefined {
  return recogniseUsage(
    fields(block?.['tokenUsage']) ??
      fields(block?.['estimatedTokenUsage']) ??
      fields(block?.['usage']),
  )
}

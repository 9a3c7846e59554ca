/** What the data of a span becomes in our events: one function for its start, one for its end. Pure. */
import { messageFigures } from '../adapters/messages.ts'
import {
  type Fields,
  fields,
  figure,
  firstText,
  list,
  parsed,
  present,
  presentOrNone,
  text,
} from '../adapters/shapes.ts'
import { type Usage, usageOf } from '../adapters/usage.ts'
import type { SpanStart } from '../span.ts'

export type Begun = Pick<SpanStart, 'op' | 'fn' | 'payload' | 'captured'>

export interface Ended {
  readonly payload: Record<string, unknown>
  readonly captured?: Record<string, unknown>
  readonly usage?: Usage | undefined
  /** The provider's id of the answer. */
  readonly responseId?: string | undefined
}

export function begun(data: Fields): Begun {
  const name = text(data['name'])
  switch (data['type']) {
    case 'generation':
      return {
        op: 'llm',
        fn: 'generation',
        payload: chatRequest(data, data['input']),
        captured: { preview: { args: [data['input']] } },
      }
    case 'response':
      return {
        op: 'llm',
        fn: 'response',
        payload: chatRequest(data, data['_input']),
        captured: { preview: { args: [data['_input']] } },
      }
    case 'transcription':
    case 'speech':
      return {
        op: 'llm',
        fn: String(data['type']),
        payload: present({
          operation: data['type'],
          model: text(data['model']),
          params: params(data['model_config']),
        }),
        captured: { preview: { args: [spoken(data['input'])] } },
      }
    case 'function':
      return {
        op: 'tool',
        fn: name ?? 'function',
        payload: { tool: { name: name ?? 'function', type: 'function' } },
        captured: { preview: { args: [parsed(data['input'])] } },
      }
    case 'mcp_tools':
      return {
        op: 'tool',
        fn: 'tools/list',
        payload: {
          tool: { name: 'tools/list', type: 'mcp' },
          mcp: present({ method: 'tools/list', server: text(data['server']) }),
        },
        captured: { preview: { args: [] } },
      }
    case 'guardrail':
      return step(name ?? 'guardrail', { step_kind: 'guardrail' })
    case 'turn':
      return step(`turn ${String(data['turn'] ?? '')}`.trim(), {
        step_kind: 'turn',
        agent_name: text(data['agent_name']),
      })
    case 'custom':
      return {
        ...step(name ?? 'custom', { step_kind: 'custom' }),
        captured: { preview: { args: [data['data']] } },
      }
    default:
      return step(name ?? String(data['type']), { step_kind: 'custom' })
  }
}

function step(fn: string, payload: Record<string, unknown>): Begun {
  return { op: 'step', fn, payload: present(payload), captured: { preview: { args: [] } } }
}

export function ended(data: Fields): Ended {
  switch (data['type']) {
    case 'generation':
      return {
        payload: present({ model: text(data['model']), ...outputFigures(data['output']) }),
        captured: { preview: { result: data['output'] } },
        usage: usage(data['usage']),
      }
    case 'response':
      return responseEnd(data)
    case 'transcription':
      return { payload: {}, captured: { preview: { result: data['output'] } } }
    case 'speech':
      return { payload: {}, captured: { preview: { result: spoken(data['output']) } } }
    case 'function':
      return {
        payload: { tool: { name: text(data['name']) ?? 'function' } },
        // What it was called with is often known only after it began.
        captured: { preview: { args: [parsed(data['input'])], result: parsed(data['output']) } },
      }
    case 'mcp_tools':
      return {
        payload: { tool: { name: 'tools/list' }, count: list(data['result']).length },
        captured: { preview: { result: data['result'] } },
      }
    case 'guardrail':
      return { payload: { triggered: data['triggered'] === true } }
    default:
      return { payload: {} }
  }
}

function responseEnd(data: Fields): Ended {
  const response = fields(data['_response'])
  const responseId = firstText(data['response_id'], response?.['id'])
  return {
    payload: present({
      response_model: text(response?.['model']),
      response_id: responseId,
      ...outputFigures(response?.['output']),
    }),
    captured: { preview: { result: response?.['output'] } },
    usage: usage(response?.['usage']),
    responseId,
  }
}

function chatRequest(data: Fields, input: unknown): Record<string, unknown> {
  const said =
    typeof input === 'string'
      ? [{ role: 'user', content: input }]
      : list(input).map((each) => {
          const message = fields(each)
          return {
            role: firstText(message?.['role'], message?.['type']) ?? 'unknown',
            content: message?.['content'],
          }
        })
  return present({
    operation: 'chat',
    provider: 'openai',
    model: text(data['model']),
    params: params(data['model_config']),
    messages: said.length > 0 ? messageFigures(said) : undefined,
  })
}

function params(config: unknown): Record<string, unknown> | undefined {
  const told = fields(config)
  if (told === undefined) return undefined
  return presentOrNone({
    temperature: figure(told['temperature']),
    max_tokens: figure(told['max_tokens']) ?? figure(told['maxTokens']),
    top_p: figure(told['top_p']) ?? figure(told['topP']),
    seed: figure(told['seed']),
  })
}

/** Calls and reasons to stop, out of the items of a response or the choices of a chat completion. */
function outputFigures(output: unknown): Record<string, unknown> {
  const items = list(output).flatMap((item) => {
    const choices = fields(item)?.['choices']
    return choices === undefined ? [item] : list(choices)
  })
  const calls: Record<string, unknown>[] = []
  const reasons: string[] = []
  for (const item of items) {
    const told = fields(item)
    const reason = firstText(told?.['finish_reason'])
    if (reason !== undefined) reasons.push(reason)
    if (told?.['type'] === 'function_call') {
      const id = firstText(told['call_id'], told['callId'])
      calls.push(present({ id, name: text(told['name']) }))
    }
    for (const call of list(fields(told?.['message'])?.['tool_calls'])) {
      const each = fields(call)
      const name = text(fields(each?.['function'])?.['name'])
      calls.push(present({ id: text(each?.['id']), name }))
    }
  }
  return present({
    finish_reasons: reasons.length > 0 ? reasons : undefined,
    tool_calls: calls.length > 0 ? calls : undefined,
  })
}

/** In the words of the Responses API, of Chat Completions, or of what another provider's adapter says. */
export function usage(value: unknown): Usage | undefined {
  const told = fields(value)
  if (told === undefined) return undefined
  const input = fields(told['input_tokens_details'] ?? told['prompt_tokens_details'])
  const output = fields(told['output_tokens_details'] ?? told['completion_tokens_details'])
  const details = fields(told['details'])
  return usageOf({
    input: figure(told['input_tokens']) ?? figure(told['prompt_tokens']),
    output: figure(told['output_tokens']) ?? figure(told['completion_tokens']),
    total: figure(told['total_tokens']),
    cache_read:
      figure(input?.['cached_tokens']) ??
      figure(told['cached_input_tokens']) ??
      figure(details?.['cached_tokens']),
    cache_write: figure(input?.['cache_write_tokens']) ?? figure(told['cache_write_input_tokens']),
    reasoning: figure(output?.['reasoning_tokens']) ?? figure(details?.['reasoning_tokens']),
    audio_in: figure(input?.['audio_tokens']),
    audio_out: figure(output?.['audio_tokens']),
  })
}

/** Sound is named by its form, never passed on. */
function spoken(value: unknown): unknown {
  const told = fields(value)
  return told === undefined ? value : { format: told['format'] }
}

/** What a server asks of its client: a question to the person, or an answer of the client's model. */

import { clock, rounded } from '../adapters/clock.ts'
import { quietly } from '../adapters/quietly.ts'
import { present } from '../adapters/shapes.ts'
import { dataMember } from '../capture/intrinsics.ts'
import { recogniseRequest } from '../recognise/index.ts'
import { identifier, word } from '../recognise/reading.ts'
import { type Span, type SpanEnd, startSpan } from '../span.ts'
import { parentOf } from './meta.ts'
import { connection, type Origin, refused } from './operations.ts'

export type Handler = (this: unknown, request: unknown, ...rest: unknown[]) => unknown

/** A handler of any request; those that are told are known by their method. */
export function observedHandler(handler: Handler, origin: Origin): Handler {
  return function (this: unknown, request, ...rest) {
    const told = TOLD.get(dataMember(request, 'method'))
    const call = () => Reflect.apply(handler, this, [request, ...rest])
    if (told === undefined) return call()
    const params = dataMember(request, 'params')
    const startedMs = clock.monotonicMs()
    const span = quietly(() => told.begin(params, origin))
    if (span === undefined) return call()
    return observed(
      span,
      () => span.run(call),
      (result) => told.end(result, startedMs),
      rest[0],
    )
  }
}

async function observed(
  span: Span,
  call: () => unknown,
  end: (result: unknown) => SpanEnd,
  extra: unknown,
): Promise<unknown> {
  try {
    const result = await call()
    quietly(() => span.end(end(result)))
    return result
  } catch (error) {
    refused(span, error, dataMember(extra, 'signal'))
    throw error
  }
}

interface Told {
  begin(params: unknown, origin: Origin): Span
  end(result: unknown, startedMs: number): SpanEnd
}

const OUTCOMES: Readonly<Record<string, string>> = {
  accept: 'answered',
  decline: 'denied',
  cancel: 'cancelled',
}

const elicitation: Told = {
  begin: (params, origin) =>
    startSpan({
      op: 'human',
      fn: 'elicitation/create',
      payload: { request: 'input', mcp: connection('elicitation/create', origin) },
      captured: { prompt: dataMember(params, 'message') },
      parent: parentOf(params),
      framework: origin.framework,
      capture: origin.capture,
    }),
  end(result, startedMs) {
    const action = dataMember(result, 'action')
    return {
      status: 'ok',
      payload: present({
        request: 'input',
        outcome: OUTCOMES[String(action)],
        waited_ms: rounded(clock.monotonicMs() - startedMs),
      }),
      captured: { answer: dataMember(result, 'content') },
    }
  },
}

const sampling: Told = {
  begin: (params, origin) =>
    startSpan({
      op: 'llm',
      fn: 'sampling/createMessage',
      payload: {
        operation: 'chat',
        requested_by: 'server',
        ...recogniseRequest([{ ...fieldsOf(params), system: dataMember(params, 'systemPrompt') }]),
        mcp: connection('sampling/createMessage', origin),
      },
      captured: { preview: { args: [], kwargs: params } },
      parent: parentOf(params),
      framework: origin.framework,
      capture: origin.capture,
    }),
  end(result) {
    const reason = word(dataMember(result, 'stopReason'))
    return {
      status: 'ok',
      payload: present({
        response_model: identifier(dataMember(result, 'model')),
        finish_reasons: reason === undefined ? undefined : [reason],
      }),
      captured: { preview: { result: dataMember(result, 'content') } },
    }
  },
}

const TOLD: ReadonlyMap<unknown, Told> = new Map([
  ['elicitation/create', elicitation],
  ['sampling/createMessage', sampling],
])

function fieldsOf(params: unknown): Record<string, unknown> {
  return typeof params === 'object' && params !== null ? { ...params } : {}
}

/** From a request that was read to its answer: in one piece, or piece by piece. */
import { VestryError } from '@vestry/contract/errors'
import { answerChat, answerEmbeddings, answerNative } from '../call/answered.ts'
import { type Received, readChat, readEmbeddings, readNative } from '../call/request.ts'
import { streamChat, streamNative } from '../call/streamed.ts'
import type { Llm } from '../llm.ts'
import { EventReply } from './event-reply.ts'
import { type Exchange, reportFault, sendReply } from './reply.ts'
import { nativeHeaders } from './request-head.ts'
import type { Route } from './routes.ts'

/** Reads the request; what it returns makes the call and answers. */
export function callOf(
  llm: Llm,
  exchange: Exchange,
  route: Route,
  received: Received,
): () => Promise<void> {
  const { request } = exchange
  switch (route.kind) {
    case 'chat': {
      const chat = readChat(llm, received)
      return chat.call.stream
        ? () => streamed(llm, exchange, (sink, signal) => streamChat(llm, chat, sink, signal))
        : () => whole(llm, exchange, (signal) => answerChat(llm, chat, signal))
    }
    case 'embeddings': {
      const embeddings = readEmbeddings(llm, received)
      return () => whole(llm, exchange, (signal) => answerEmbeddings(llm, embeddings, signal))
    }
    case 'messages':
    case 'count_tokens': {
      const headers = nativeHeaders(request)
      const path = route.kind === 'messages' ? '/v1/messages' : '/v1/messages/count_tokens'
      const native = readNative(llm, { ...received, variant: JSON.stringify(headers) }, path)
      return native.call.stream
        ? () =>
            streamedNative(llm, exchange, (sink, signal) =>
              streamNative(llm, native, headers, sink, signal),
            )
        : () => whole(llm, exchange, (signal) => answerNative(llm, native, headers, signal))
    }
    default:
      throw new VestryError('ROUTE_NOT_FOUND')
  }
}

async function whole(
  llm: Llm,
  exchange: Exchange,
  work: (signal: AbortSignal) => Promise<{ readonly body: Uint8Array }>,
): Promise<void> {
  using watch = watched(llm, exchange)
  const { body } = await work(watch.signal)
  await sendReply(exchange, { status: 200, body })
}

type StreamWork = (sink: EventReply, signal: AbortSignal) => Promise<void>

function streamed(llm: Llm, exchange: Exchange, work: StreamWork): Promise<void> {
  const { heartbeat_ms: heartbeatMs } = llm.settings
  return streamTo(llm, exchange, { heartbeatMs, tail: 'data: [DONE]\n\n' }, work)
}

/** Its events, heartbeats and end are the provider's own. */
function streamedNative(llm: Llm, exchange: Exchange, work: StreamWork): Promise<void> {
  return streamTo(llm, exchange, { heartbeatMs: 0, tail: '' }, work)
}

async function streamTo(
  llm: Llm,
  exchange: Exchange,
  { heartbeatMs, tail }: { heartbeatMs: number; tail: string },
  work: StreamWork,
): Promise<void> {
  using watch = watched(llm, exchange)
  using sink = new EventReply(exchange, {
    heartbeatMs,
    stallMs: llm.settings.idle_timeout_ms,
  })
  try {
    await work(sink, watch.signal)
    sink.finish(tail)
  } catch (error) {
    if (!sink.begun) throw error
    reportFault(llm, exchange, error)
    sink.fail(error)
  }
}

/** A signal that ends the call when its client leaves, or the gateway stops. */
function watched(
  { calls }: Llm,
  { response }: Exchange,
): Disposable & { readonly signal: AbortSignal } {
  const call = calls.begin()
  const leave = (): void => call.controller.abort(new VestryError('CANCELLED', 'the client left'))
  if (response.destroyed) leave()
  response.once('close', leave)
  return {
    signal: call.controller.signal,
    [Symbol.dispose]: () => {
      response.off('close', leave)
      call[Symbol.dispose]()
    },
  }
}

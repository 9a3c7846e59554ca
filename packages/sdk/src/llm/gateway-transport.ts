/** Model calls through the gateway: its routes, its headers, its events. */
import { GatewayError } from '../sage/errors.ts'
import type { GatewayCallOptions, GatewayClient } from '../sage/gateway-client.ts'
import { errorBody, errorOf } from '../sage/http/answer-error.ts'
import { fromFault } from './fault-error.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject, parseJson } from './providers/json.ts'
import type { SseEvent } from './providers/provider.ts'
import { SseParser } from './providers/sse.ts'
import type { ModelCall, ModelTransport } from './transport.ts'

const CHAT = '/v1/chat/completions'
const EMBEDDINGS = '/v1/embeddings'

/** The part of a gateway client that sends. */
type Sender = Required<Pick<GatewayClient, 'request' | 'requestStream'>>

export function gatewayTransport(client: Sender): ModelTransport {
  const sent = async (path: string, call: ModelCall): Promise<unknown> => {
    const response = await client.request('POST', path, optionsOf(call))
    return response.json()
  }
  return {
    chat: (call) => sent(CHAT, call),
    embed: (call) => sent(EMBEDDINGS, call),
    async *chatStream(call) {
      const stream = await client.requestStream('POST', CHAT, optionsOf(call))
      try {
        yield* chunksOf(stream)
      } catch (error) {
        throw fromFault(error)
      } finally {
        stream.close()
      }
    },
  }
}

function optionsOf(call: ModelCall): GatewayCallOptions {
  const { model, category, body, signal, timeoutMs, deadlineMs } = call
  return {
    provider: model.provider,
    headers: category === undefined ? {} : { 'X-Sage-Category': category },
    body,
    signal,
    timeoutMs,
    deadlineMs,
  }
}

async function* chunksOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<JsonObject> {
  for await (const event of eventsOf(bytes)) {
    if (isDone(event)) return
    const chunk = parseJson(event.data)
    if (!isObject(chunk)) throw new GatewayError('The gateway sent an event that is not JSON')
    // The stream began with status 200, so the code alone says which error it is.
    if (isObject(chunk['error']) || typeof chunk['error'] === 'string') {
      throw errorOf(errorBody(event.data))
    }
    yield chunk
  }
  throw new GatewayError('The stream ended before the answer was complete', { truncated: true })
}

/** Server-sent events of a body, whatever the edges of its parts. */
export async function* eventsOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  const parser = new SseParser()
  for await (const part of bytes) yield* parser.push(part)
  // The closing blank line is missing where a server closes at once.
  yield* parser.push(Buffer.from('\n\n')).filter(isDone)
}

function isDone({ data }: SseEvent): boolean {
  return data.trim() === '[DONE]'
}

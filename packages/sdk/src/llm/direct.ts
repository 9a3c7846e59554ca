/**
 * Model calls straight to a provider, for local development: the same translation the gateway uses,
 * with a key of the developer's own.
 */
import { ConfigurationError, GatewayError } from '../sage/errors.ts'
import { directSender } from './direct-http.ts'
import { fromFault } from './fault-error.ts'
import { eventsOf } from './gateway-transport.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { checkChat } from './providers/check-chat.ts'
import { checkEmbeddings } from './providers/check-embeddings.ts'
import { compatible, providerOf } from './providers/index.ts'
import { isObject, parseJson } from './providers/json.ts'
import type { CallScope, Outgoing, Provider } from './providers/provider.ts'
import { canonicalModel } from './providers/table.ts'
import type { ModelCall, ModelTransport } from './transport.ts'

/** Where providers are, and what opens them. */
export interface DirectAccess {
  /** Base URL, with or without trailing slash. */
  readonly endpointOf: (provider: string) => string
  /** @throws ConfigurationError when the key is not set. */
  readonly keyOf: (provider: string) => string
}

const DEFAULT_MAX_TOKENS = 4_096
/** As through the gateway: a streamed answer may take longer. */
const STREAM_DEADLINE_MS = 600_000
const MOST_SIGNATURES = 1_000

export function directTransport(access: DirectAccess): ModelTransport {
  const signatures = boundedMap(MOST_SIGNATURES)
  const send = directSender()

  const scopeOf = (): CallScope => ({
    nowMs: Date.now(),
    newId: (prefix) => `${prefix}${globalThis.crypto.randomUUID().replaceAll('-', '')}`,
    user: '',
    signatures,
    defaultMaxTokens: DEFAULT_MAX_TOKENS,
    includeUsage: true,
  })
  const sent = (provider: Provider, outgoing: Outgoing, call: ModelCall) => {
    const base = access.endpointOf(call.model.provider).replace(/\/+$/, '')
    const key = access.keyOf(call.model.provider)
    const { signal, timeoutMs, deadlineMs } = call
    return send({
      provider,
      url: `${base}${outgoing.path}`,
      key,
      body: outgoing.body,
      signal,
      timeoutMs,
      deadlineMs,
    })
  }
  // Who is in no table is reached at OpenAI's address: a server of the developer's own that speaks
  // OpenAI's language and knows none of its models' quirks.
  const translatorOf = ({ model: { provider } }: ModelCall): Provider =>
    providerOf(provider) ?? compatible(provider, { baseUrl: access.endpointOf(provider) })

  return {
    chat: (call) =>
      translating(async () => {
        const provider = translatorOf(call)
        const scope = scopeOf()
        const request = checkChat(canonical(call))
        const answer = await sent(provider, provider.chat(request, scope), call)
        return provider.readChat(await answer.json(), request, scope)
      }),

    async *chatStream(call) {
      const provider = translatorOf(call)
      const scope = scopeOf()
      try {
        const request = checkChat(canonical(call))
        const { deadlineMs = STREAM_DEADLINE_MS } = call
        const bounded = { ...call, deadlineMs }
        const answer = await sent(provider, provider.chat(request, scope), bounded)
        try {
          const translation = provider.chatStream(request, scope)
          for await (const event of eventsOf(answer.parts())) {
            for (const text of translation.push(event)) yield chunkOf(text)
            if (translation.done) break
          }
          for (const text of translation.end()) yield chunkOf(text)
        } finally {
          answer.close()
        }
      } catch (error) {
        throw fromFault(error)
      }
    },

    embed: (call) =>
      translating(async () => {
        const { model, input, ...options } = checkEmbeddings(canonical(call))
        const provider = translatorOf(call)
        const { embeddings } = provider
        if (embeddings === undefined) {
          throw new ConfigurationError(`${call.model.provider} has no embeddings`)
        }
        const vectors: number[][] = []
        let tokens = 0
        for (let start = 0; start < input.length; start += embeddings.maxInputs) {
          const batch = input.slice(start, start + embeddings.maxInputs)
          const answer = await sent(provider, embeddings.request(model, batch, options), call)
          const read = embeddings.read(await answer.json(), batch.length)
          vectors.push(...read.vectors)
          tokens += read.promptTokens ?? 0
        }
        const data = vectors.map((embedding, index) => ({ object: 'embedding', index, embedding }))
        return { object: 'list', data, usage: { prompt_tokens: tokens, total_tokens: tokens } }
      }),
  }
}

/** The request under the name the provider knows the model by. */
function canonical({ body, model }: ModelCall): JsonObject {
  return { ...body, model: canonicalModel(model.provider, model.model) }
}

function chunkOf(text: string): JsonObject {
  const chunk = parseJson(text)
  if (isObject(chunk)) return chunk
  throw new GatewayError('The provider sent an event that is not JSON')
}

async function translating<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw fromFault(error)
  }
}

function boundedMap(most: number): CallScope['signatures'] {
  const map = new Map<string, string>()
  return {
    get: (id) => map.get(id),
    set(id, signature) {
      map.set(id, signature)
      const [oldest] = map.keys()
      if (map.size > most && oldest !== undefined) map.delete(oldest)
    },
  }
}

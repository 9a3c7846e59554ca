/**
 * Model calls that go out to a provider: translated, sent with its key through egress, and the answer read in the
 * provider's own words. No retries: clients have theirs.
 */
import {
  AnthropicUsageReader,
  anthropicUsage,
  ProviderFault,
  SseParser,
} from '@vestry/sdk/llm/providers'
import { type EgressDeps, type EgressResult, type Outbound, send } from '../../egress/send.ts'
import { type EgressStream, openStream, readText } from '../../egress/stream.ts'
import type { LlmSettings } from '../settings.ts'
import type { Backend, ModelStream, NativeStream, Work } from './backend.ts'
import { embedAll } from './embed-all.ts'
import { watchNative } from './native-watch.ts'
import { type KeyDeps, openKey, type ProviderKey } from './provider-key.ts'
import type { KnownProvider } from './provider-table.ts'

/** What clients read at most. */
const MAX_REPLY_BYTES = 64 * 1_024 * 1_024
/** To one provider with one key: every client may have a stream of its own. */
const MAX_CONNECTIONS = 1_024
const MAX_ERROR_BYTES = 64 * 1_024
/** Of a provider's answer, for its errors. */
const SHOWN_HEADERS = ['retry-after']

export interface RemoteDeps extends KeyDeps {
  readonly egress: EgressDeps
  readonly settings: LlmSettings
}

interface Sending {
  readonly path: string
  readonly body: Uint8Array
  readonly headers?: readonly (readonly [name: string, value: string])[]
}

export function remoteBackend(deps: RemoteDeps, known: KnownProvider): Backend {
  const { settings } = deps
  const { provider } = known

  /** One exchange; anything but success is thrown as the provider means it. */
  const post = async (sending: Sending, work: Work, timeoutMs: number): Promise<EgressResult> => {
    using key = await openKey(deps, known, work.org)
    const reply = await send(
      {
        ...outbound(known, key, sending, work),
        timeoutMs,
        maxResponseBytes: MAX_REPLY_BYTES,
        maxReceivedBytes: MAX_REPLY_BYTES,
        onOverflow: 'refuse',
        responseHeadersAllow: SHOWN_HEADERS,
      },
      deps.egress,
    )
    const { status, bytesIn, bytesOut, elapsedMs } = reply
    work.note({
      provider_status: status,
      provider_ms: elapsedMs,
      provider_bytes_in: bytesIn,
      provider_bytes_out: bytesOut,
    })
    if (isSuccess(status)) return reply
    work.onRefused()
    throw provider.readError(status, reply.headers, textOf(reply.body).slice(0, MAX_ERROR_BYTES))
  }

  const open = async (sending: Sending, work: Work, totalMs: number): Promise<OpenUpstream> => {
    using stack = new DisposableStack()
    const key = stack.use(await openKey(deps, known, work.org))
    const upstream = stack.use(
      await openStream(
        {
          ...outbound(known, key, sending, work),
          firstByteMs: Math.min(settings.first_byte_timeout_ms, totalMs),
          idleMs: settings.idle_timeout_ms,
          totalMs,
          maxBytes: MAX_REPLY_BYTES,
          responseHeadersAllow: SHOWN_HEADERS,
        },
        deps.egress,
      ),
    )
    work.note({ provider_status: upstream.status, provider_bytes_out: upstream.bytesOut })
    if (!isSuccess(upstream.status)) {
      work.onRefused()
      const text = await readText(upstream, MAX_ERROR_BYTES)
      throw provider.readError(upstream.status, upstream.headers, text)
    }
    stack.defer(() => work.note({ provider_bytes_in: upstream.bytesIn }))
    const held = stack.move()
    return { upstream, [Symbol.dispose]: () => held.dispose() }
  }

  return {
    chat: async (request, work) => {
      const { path, body } = provider.chat(request, work.scope)
      const reply = await post({ path, body: jsonBytes(body) }, work, settings.timeout_ms)
      return provider.readChat(parsed(reply.body), request, work.scope)
    },

    stream: async (request, work): Promise<ModelStream> => {
      const { path, body } = provider.chat(request, work.scope)
      const sending = { path, body: jsonBytes(body) }
      const opened = await open(sending, work, settings.stream_timeout_ms)
      const translation = provider.chatStream(request, work.scope)
      return {
        texts: translated(opened.upstream, translation),
        get usage() {
          return translation.usage
        },
        get finishReason() {
          return translation.finishReason
        },
        [Symbol.dispose]: () => opened[Symbol.dispose](),
      }
    },

    embed: (request, work) =>
      embedAll(known, request, work, {
        timeoutMs: settings.timeout_ms,
        call: async (path, body, part, timeoutMs) => {
          const reply = await post({ path, body: jsonBytes(body) }, part, timeoutMs)
          return parsed(reply.body)
        },
      }),

    message: async ({ path, body, headers }, work) => {
      const sending = { path, body, headers }
      const reply = await post(sending, work, settings.native_timeout_ms)
      const answer = parsed(reply.body)
      const reason: unknown = Reflect.get(Object(answer), 'stop_reason')
      return {
        body: reply.body,
        usage: anthropicUsage(answer),
        finishReason: typeof reason === 'string' ? reason.slice(0, 64) : undefined,
      }
    },

    messageStream: async ({ path, body, headers }, work): Promise<NativeStream> => {
      const opened = await open({ path, body, headers }, work, settings.native_timeout_ms)
      const reader = new AnthropicUsageReader()
      return {
        bytes: watchNative(known.name, opened.upstream.body, reader),
        get usage() {
          return reader.usage
        },
        get finishReason() {
          return reader.stopReason?.slice(0, 64)
        },
        [Symbol.dispose]: () => opened[Symbol.dispose](),
      }
    },
  }
}

interface OpenUpstream extends Disposable {
  readonly upstream: EgressStream
}

function outbound(
  known: KnownProvider,
  key: ProviderKey,
  { path, body, headers = [] }: Sending,
  { signal, onSend, onLookup }: Work,
): Outbound & { method: 'POST' } {
  return {
    url: `${known.baseUrl}${path}`,
    method: 'POST',
    headers: [
      ['Content-Type', 'application/json'],
      ...Object.entries(known.provider.headers).filter(
        ([name]) => !headers.some(([own]) => own.toLowerCase() === name.toLowerCase()),
      ),
      ...headers,
    ],
    body,
    ...(key.injection !== undefined && { injection: key.injection }),
    followRedirects: false,
    poolKey: { path: key.path, version: key.version, connections: MAX_CONNECTIONS },
    // Operators wrote the addresses of providers.
    authorize: (target) => {
      key.assertBoundTo(target)
      return { exactHost: true, allowHttp: true, followRedirects: false }
    },
    onSend,
    onLookup,
    signal,
  }
}

/**
 * Translates as it comes; what belongs to one chunk of the upstream stays together. A failure comes after what stood
 * before it, but alone when nothing was passed on yet: it can then still be told as a status.
 */
async function* translated(
  upstream: EgressStream,
  translation: ReturnType<KnownProvider['provider']['chatStream']>,
): AsyncGenerator<readonly string[]> {
  const parser = new SseParser()
  let begun = false
  for await (const bytes of upstream.body) {
    const texts: string[] = []
    try {
      for (const event of parser.push(bytes)) texts.push(...translation.push(event))
    } catch (error) {
      if (begun && texts.length > 0) yield texts
      throw error
    }
    if (texts.length > 0) {
      begun = true
      yield texts
    }
    if (translation.done) {
      upstream.finish()
      break
    }
  }
  const rest = translation.end()
  if (rest.length > 0) yield rest
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

/** @throws ProviderFault for what is no JSON. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(bytes)) as unknown
  } catch {
    // Without its cause, which quotes the text.
    throw new ProviderFault('provider_error', 'The provider sent no JSON')
  }
}

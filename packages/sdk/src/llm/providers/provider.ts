/**
 * What it takes to speak to a model provider: data and pure functions between OpenAI's shapes and the
 * provider's own. No I/O, no keys: the caller sends, and adds the key to the header named by `auth`.
 */
import type { ChatCompletion, ChatRequest, FinishReason, JsonObject, Usage } from './chat-types.ts'
import type { ProviderFault } from './fault.ts'

export { ProviderFault } from './fault.ts'

/** What to send: `path` is appended to the base URL, `body` is sent as JSON. */
export interface Outgoing {
  readonly path: string
  readonly body: JsonObject
}

/** What a call brings along besides its request. */
export interface CallScope {
  readonly nowMs: number
  /** A fresh id, e.g. `call_…` for the prefix `call_`; never the same twice. */
  newId(prefix: string): string
  /** What the provider may know of the caller: a hash of organisation and run. Empty sends none. */
  readonly user: string
  /** Gemini's thought signatures by tool call id, kept over the calls of one run. */
  readonly signatures: {
    get(callId: string): string | undefined
    set(callId: string, signature: string): void
  }
  /** For providers that demand a limit, when the request has none. */
  readonly defaultMaxTokens: number
  /** The caller asked for the usage event of a stream. */
  readonly includeUsage: boolean
}

/** One server-sent event. `event` is `''` when the provider named none. */
export interface SseEvent {
  readonly event: string
  readonly data: string
}

/** The translation of one stream. Feed it events in order, then call `end()` once at the end of the body. */
export interface ChatStream {
  /**
   * @returns JSON texts of OpenAI chunks to pass on, each on one line; the very text that came in when
   *          nothing had to be repaired. `[DONE]` is the caller's to write.
   * @throws ProviderFault for an error event, or an event that cannot be read.
   */
  push(event: SseEvent): string[]
  /** What was held back. @throws ProviderFault marked `truncated` when the answer is not complete. */
  end(): string[]
  /** The provider said it is complete; whatever still comes may be left unread. */
  readonly done: boolean
  /** As far as reported; also known when the caller did not ask for it. */
  readonly usage: Usage | undefined
  readonly finishReason: FinishReason | undefined
}

export interface EmbeddingsTranslation {
  /** Texts in one upstream call. */
  readonly maxInputs: number
  request(
    model: string,
    inputs: readonly string[],
    options: { readonly dimensions?: number; readonly user?: string },
  ): Outgoing
  /**
   * @param count How many texts were sent.
   * @returns Vectors in the order of the texts; `promptTokens` undefined when not reported.
   * @throws ProviderFault `provider_error` unless there is exactly one vector of numbers per text.
   */
  read(body: unknown, count: number): { vectors: number[][]; promptTokens: number | undefined }
}

/** In every request `model` is the canonical name already (`canonicalModel`): it is sent as it stands. */
export interface Provider {
  readonly id: string
  /** Without trailing slash. */
  readonly baseUrl: string
  /** Prefixes of model names that mean this provider. */
  readonly prefixes: readonly string[]
  readonly auth: { readonly header: string; readonly prefix: string }
  /** Sent with every call. */
  readonly headers: Readonly<Record<string, string>>
  /** @throws ProviderFault when the provider cannot do what is asked. */
  chat(request: ChatRequest, scope: CallScope): Outgoing
  /** @throws ProviderFault `content_filter`, or `provider_error` for an answer that cannot be read. */
  readChat(body: unknown, request: ChatRequest, scope: CallScope): ChatCompletion
  chatStream(request: ChatRequest, scope: CallScope): ChatStream
  readonly embeddings?: EmbeddingsTranslation
  /** @param headers Names in lower case. @param body As received; redacted before it is quoted. */
  readError(status: number, headers: Readonly<Record<string, string>>, body: string): ProviderFault
}

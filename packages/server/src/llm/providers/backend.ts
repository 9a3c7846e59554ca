/** Who carries out model calls: a provider far away, or the built-in stand-in. */
import type {
  CallScope,
  ChatCompletion,
  ChatRequest,
  EmbeddingsRequest,
  FinishReason,
  Usage,
} from '@vestry/sdk/llm/providers'
import type { Note } from '../../call/perform.ts'
import type { OnLookup } from '../../egress/resolve.ts'

/** One call under way. */
export interface Work {
  /** Whose key is used, if there is one of its own. */
  readonly org: string
  readonly scope: CallScope
  readonly signal: AbortSignal
  /** For the record. */
  readonly note: Note
  /** The provider may have heard of the call from now on. */
  readonly onSend: () => void
  /** A name was resolved for it. */
  readonly onLookup: OnLookup
  /** The provider answered with a refusal, for which nobody pays. */
  readonly onRefused: () => void
  /** So many bytes of memory are taken until the call is over. @throws VestryError GATEWAY_OVERLOADED */
  readonly hold: (bytes: number) => void
  /** It failed in the end, but so much of it was done. */
  readonly onPartly: (usage: Usage) => void
}

/** An answer as it comes. Dispose it: an upstream that still sends is cut off then. */
export interface ModelStream extends Disposable {
  /** JSON texts of OpenAI chunks, as they belong together. @throws what ends the answer early. */
  readonly texts: AsyncIterable<readonly string[]>
  readonly usage: Usage | undefined
  readonly finishReason: FinishReason | undefined
}

export interface Embeddings {
  readonly vectors: readonly (readonly number[])[]
  readonly promptTokens: number
  /** The provider did not count. */
  readonly estimated: boolean
}

/** Native messages: bytes in, bytes out. */
export interface NativeRequest {
  readonly path: '/v1/messages' | '/v1/messages/count_tokens'
  readonly body: Uint8Array
  /** Those that go along. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export interface NativeReply {
  readonly body: Uint8Array
  readonly usage: Usage | undefined
  readonly finishReason: string | undefined
}

export interface NativeStream extends Disposable {
  readonly bytes: AsyncIterable<Uint8Array>
  readonly usage: Usage | undefined
  readonly finishReason: string | undefined
}

/** @throws ProviderFault, VestryError; the reason of the signal. */
export interface Backend {
  chat(request: ChatRequest, work: Work): Promise<ChatCompletion>
  stream(request: ChatRequest, work: Work): Promise<ModelStream>
  embed(request: EmbeddingsRequest, work: Work): Promise<Embeddings>
  message(request: NativeRequest, work: Work): Promise<NativeReply>
  messageStream(request: NativeRequest, work: Work): Promise<NativeStream>
}

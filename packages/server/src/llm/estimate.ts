/** How much a model call may take, before anybody knows; and what a call took that never told. */
import type { ChatRequest, ContentPart, JsonObject } from '@vestry/sdk/llm/providers'
import { costOf, type ModelName, type Prices, type TokenUse } from './prices/prices.ts'

/** What is held of the budgets while a call runs. */
export interface Estimate {
  readonly tokens: number
  readonly micros: number
}

export interface CallSize {
  /** Of the request as received, without pictures. No tokenizer makes more tokens than bytes. */
  readonly textBytes: number
  /** Of pictures and documents, which have nothing to do with their bytes. */
  readonly mediaTokens: number
  /** What the provider is told to stop at. */
  readonly maxOutputTokens: number
}

/** More than the dearest rendering of a picture at most providers. */
const TOKENS_PER_PICTURE = 8_192
/** As much of a document as a model can take in; the words of one are packed closer than in plain text. */
const MOST_DOCUMENT_TOKENS = 200_000
/** What frontier models write in a second. */
const TOKENS_PER_SECOND = 100
/** Providers put words of their own around tools and messages. */
const OVERHEAD_TOKENS = 1_024
const BYTES_PER_TOKEN = 3

/**
 * @param bodyBytes Of the request as received.
 * @param maxOutputTokens Taken when the request names no limit.
 */
export function sizeOfChat(
  request: Pick<ChatRequest, 'messages' | 'max_tokens' | 'max_completion_tokens'>,
  bodyBytes: number,
  maxOutputTokens: number,
): CallSize {
  const media = new Media()
  for (const { content } of request.messages) {
    if (typeof content !== 'string') for (const part of content) media.addPart(part)
  }
  return media.sizeOf(
    bodyBytes,
    request.max_completion_tokens ?? request.max_tokens ?? maxOutputTokens,
  )
}

/** The same of a request in Anthropic's own form, of which only its members are known. */
export function sizeOfNative(
  request: Readonly<JsonObject>,
  bodyBytes: number,
  maxOutputTokens: number,
): CallSize {
  const media = new Media()
  media.addBlocks(request)
  return media.sizeOf(bodyBytes, maxOutputTokens)
}

/** Whatever stands in them, a model reads it letter by letter. */
const READ_AS_TEXT: ReadonlySet<string> = new Set(['input', 'input_schema'])

/** Adds up what is no text. */
class Media {
  #tokens = 0
  #bytes = 0

  addPart(part: ContentPart): void {
    if (part.type === 'image_url')
      this.#add('image', part.image_url.url.replace(/^(?!data:).*/s, ''))
    else if (part.type === 'file') this.#add('document', part.file.file_data)
  }

  /** Wherever they stand: results of tools hold pictures too. Nesting is bounded by the reader of the body. */
  addBlocks(value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    const { type, source } = value as JsonObject
    if (
      (type === 'image' || type === 'document') &&
      typeof source === 'object' &&
      source !== null
    ) {
      const { data, type: kind } = source as JsonObject
      if (kind === 'base64' && typeof data === 'string') this.#add(type, data)
      else if (kind === 'url' || kind === 'file') this.#add(type, '')
    }
    for (const [name, member] of Object.entries(value)) {
      if (!READ_AS_TEXT.has(name)) this.addBlocks(member)
    }
  }

  sizeOf(bodyBytes: number, maxOutputTokens: number): CallSize {
    const textBytes = Math.max(0, bodyBytes - this.#bytes)
    return { textBytes, mediaTokens: this.#tokens, maxOutputTokens }
  }

  /** @param data In base64; empty where it lies elsewhere. */
  #add(type: 'image' | 'document', { length }: string): void {
    this.#bytes += length
    if (type === 'image') this.#tokens += TOKENS_PER_PICTURE
    else if (length === 0) this.#tokens += MOST_DOCUMENT_TOKENS
    else this.#tokens += Math.min(MOST_DOCUMENT_TOKENS, Math.max(TOKENS_PER_PICTURE, length))
  }
}

/**
 * The most that a call is expected to take. A provider that was given no limit may still take more: that is counted in
 * full when the call ends, and the next call is refused for it.
 */
export function estimateMax(size: CallSize, ref: ModelName, prices: Prices): Estimate {
  const promptTokens = size.textBytes + size.mediaTokens + OVERHEAD_TOKENS
  const completionTokens = size.maxOutputTokens
  const { price } = prices.priceOf(ref)
  // Writing to a cache is dearer than plain input.
  const dearest = (price.written ?? 0) > price.input ? { writtenTokens: promptTokens } : {}
  const { micros } = costOf({ promptTokens, completionTokens, ...dearest }, ref, prices)
  return { tokens: promptTokens + completionTokens, micros }
}

/**
 * For a call that ended before its provider counted: from the bytes that went each way, and from the time in which it
 * said nothing, where it may have been writing all the same. Rather too much than too little.
 *
 * @param received Bytes of text.
 * @param silentMs From the sending of the request to the first byte of the answer, or to the end without one.
 */
export function guessUse(
  { textBytes, mediaTokens, maxOutputTokens }: CallSize,
  { received, silentMs }: { received: number; silentMs: number },
): TokenUse {
  const unseen = Math.floor((silentMs / 1_000) * TOKENS_PER_SECOND)
  return {
    promptTokens: Math.ceil(textBytes / BYTES_PER_TOKEN) + mediaTokens,
    completionTokens: Math.ceil(received / BYTES_PER_TOKEN) + Math.min(unseen, maxOutputTokens),
  }
}

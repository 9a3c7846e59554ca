/** How much a model call may take, before anybody knows; and what a call took that never told. */
import type { ChatRequest, ContentPart } from '@vestry/sdk/llm/providers'
import { costOf, type ModelName, type Prices, type TokenUse } from './prices/prices.ts'

/** What is held of the budgets while a call runs. */
export interface Estimate {
  readonly tokens: number
  readonly micros: number
}

export interface CallSize {
  /** Of the request as received, without pictures. No tokenizer makes more tokens than bytes. */
  readonly textBytes: number
  /** Pictures and documents: their tokens have nothing to do with their bytes. */
  readonly media: number
  /** What the provider is told to stop at. */
  readonly maxOutputTokens: number
}

/** More than the dearest rendering of a picture at most providers. */
const TOKENS_PER_PICTURE = 8_192
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
  let media = 0
  let mediaBytes = 0
  for (const { content } of request.messages) {
    if (typeof content === 'string') continue
    for (const part of content) {
      const url = addressOf(part)
      if (url === undefined) continue
      media += 1
      if (url.startsWith('data:')) mediaBytes += url.length
    }
  }
  return {
    textBytes: Math.max(0, bodyBytes - mediaBytes),
    media,
    maxOutputTokens: request.max_completion_tokens ?? request.max_tokens ?? maxOutputTokens,
  }
}

/**
 * The most that a call is expected to take. A provider that was given no limit may still take more: that is counted in
 * full when the call ends, and the next call is refused for it.
 */
export function estimateMax(size: CallSize, ref: ModelName, prices: Prices): Estimate {
  const promptTokens = size.textBytes + size.media * TOKENS_PER_PICTURE + OVERHEAD_TOKENS
  const completionTokens = size.maxOutputTokens
  const { price } = prices.priceOf(ref)
  // Writing to a cache is dearer than plain input.
  const dearest = (price.written ?? 0) > price.input ? { writtenTokens: promptTokens } : {}
  const { micros } = costOf({ promptTokens, completionTokens, ...dearest }, ref, prices)
  return { tokens: promptTokens + completionTokens, micros }
}

/** For a call that ended before its provider counted: from the bytes that went each way, rather too much than too little. */
export function guessUse(textBytesOut: number, textBytesIn: number): TokenUse {
  return {
    promptTokens: Math.ceil(textBytesOut / BYTES_PER_TOKEN),
    completionTokens: Math.ceil(textBytesIn / BYTES_PER_TOKEN),
  }
}

function addressOf(part: ContentPart): string | undefined {
  if (part.type === 'image_url') return part.image_url.url
  return part.type === 'file' ? part.file.file_data : undefined
}

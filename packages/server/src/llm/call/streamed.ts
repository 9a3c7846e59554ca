/**
 * Model calls that are answered piece by piece, while the stations wait: the record is there before the last piece.
 * A repeated idempotency key means nothing here: what was passed on cannot be taken back, and is not kept.
 */
import type { ChatRequest } from '@vestry/sdk/llm/providers'
import type { Llm } from '../llm.ts'
import type { NativeHeaders } from './answered.ts'
import { protect } from './protected.ts'
import type { NativeBody, Prepared } from './request.ts'

/** Where the pieces go. */
export interface Sink {
  /** The provider has accepted the call. */
  opened(): void
  /** One event for each JSON text. */
  events(texts: readonly string[]): Promise<void>
  raw(bytes: Uint8Array): Promise<void>
  readonly bytes: number
  readonly firstByteMs: number | undefined
}

export function streamChat(
  llm: Llm,
  { call, request }: Prepared<ChatRequest>,
  sink: Sink,
  signal: AbortSignal,
): Promise<void> {
  const includeUsage = request.stream_options?.include_usage === true
  const options = { facts: () => sinkFacts(sink), includeUsage }
  return protect(
    llm,
    call,
    signal,
    async ({ backend, work, meter }) => {
      using _counted = llm.metrics.stream()
      using stream = await backend.stream(request, work)
      sink.opened()
      try {
        for await (const texts of stream.texts) {
          for (const text of texts) meter.received(textBytes(text))
          await sink.events(texts)
        }
        meter.counted(stream.usage)
      } catch (error) {
        meter.countedSoFar(stream.usage)
        throw error
      } finally {
        meter.finishReason = stream.finishReason
      }
    },
    options,
  )
}

export function streamNative(
  llm: Llm,
  { call, request }: Prepared<NativeBody>,
  headers: NativeHeaders,
  sink: Sink,
  signal: AbortSignal,
): Promise<void> {
  return protect(
    llm,
    call,
    signal,
    async ({ backend, work, meter }) => {
      using _counted = llm.metrics.stream()
      const { path, bytes: body } = request
      using stream = await backend.messageStream({ path, body, headers }, work)
      sink.opened()
      try {
        for await (const bytes of stream.bytes) {
          meter.received(textBytes(bytes))
          await sink.raw(bytes)
        }
        meter.counted(stream.usage)
      } catch (error) {
        meter.countedSoFar(stream.usage)
        throw error
      } finally {
        meter.finishReason = stream.finishReason
      }
    },
    { facts: () => sinkFacts(sink) },
  )
}

function sinkFacts({ bytes, firstByteMs }: Sink): Record<string, unknown> {
  return { bytes_out: bytes, ...(firstByteMs !== undefined && { first_byte_ms: firstByteMs }) }
}

/** What of an event is the answer's own text, roughly: the rest is the same in every event. */
const FRAME_BYTES = 160
/** Of the shortest events, which hold a token all the same. */
const BYTES_PER_TEXT_BYTE = 32

function textBytes({ length }: { readonly length: number }): number {
  return Math.max(length / BYTES_PER_TEXT_BYTE, length - FRAME_BYTES)
}

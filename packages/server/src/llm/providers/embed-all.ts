/** One embeddings request in as many upstream calls as the provider needs, in order, usage summed. */
import { type EmbeddingsRequest, type JsonObject, ProviderFault } from '@vestry/sdk/llm/providers'
import type { Embeddings, Work } from './backend.ts'
import type { KnownProvider } from './provider-table.ts'

/** Upstream calls of one request at once. */
const CONCURRENT_CALLS = 4
const CHARS_PER_TOKEN = 4
/** Of one upstream call, whatever else its provider takes: the longest vectors of so many texts still fit its answer. */
const MAX_TEXTS = 512
/** Together, of one upstream call: providers bound its tokens, too. */
const MAX_CHARS = 500_000
/** Of a number as JSON, with its comma. */
const BYTES_PER_NUMBER = 22
/** Of all vectors in one answer. A text of the platform holds little more. */
const MAX_ANSWER_BYTES = 384 * 1_024 * 1_024

interface Upstream {
  /** For all calls together. */
  readonly timeoutMs: number
  /** @returns The answer's JSON. */
  readonly call: (path: string, body: JsonObject, work: Work, timeoutMs: number) => Promise<unknown>
}

/** @throws ProviderFault; the first failure ends the other calls. */
export async function embedAll(
  { name, provider }: KnownProvider,
  { model, input, dimensions }: EmbeddingsRequest,
  work: Work,
  { timeoutMs, call }: Upstream,
): Promise<Embeddings> {
  const { embeddings } = provider
  if (embeddings === undefined)
    throw new ProviderFault('unsupported_operation', `${name} has no embeddings`)
  const endsAtMs = performance.now() + timeoutMs
  const failed = new AbortController()
  const signal = AbortSignal.any([work.signal, failed.signal])
  const batches = batchesOf(input, Math.min(MAX_TEXTS, embeddings.maxInputs))
  const results: { vectors: number[][]; promptTokens: number | undefined }[] = []
  const paid = new Set<number>()
  const tokensOf = (index: number): number =>
    results[index]?.promptTokens ?? estimateTokens(batches[index] ?? [])
  const pending = batches.entries()
  const worker = async (): Promise<void> => {
    for (const [index, texts] of pending) {
      const { path, body } = embeddings.request(model, texts, {
        ...(dimensions !== undefined && { dimensions }),
        user: work.scope.user,
      })
      const part: Work = {
        ...work,
        signal,
        onSend: () => {
          paid.add(index)
          work.onSend()
        },
        // One refusal among others: what they took is told in the end.
        onRefused: () => void paid.delete(index),
      }
      const leftMs = Math.max(1, Math.ceil(endsAtMs - performance.now()))
      const result = embeddings.read(await call(path, body, part, leftMs), texts.length)
      results[index] = result
      const bytesEach = (result.vectors[0]?.length ?? 0) * BYTES_PER_NUMBER
      assertFits(input.length * bytesEach)
      work.hold(texts.length * bytesEach)
    }
  }
  const workers = Array.from({ length: Math.min(CONCURRENT_CALLS, batches.length) }, worker)
  await Promise.all(workers).catch(async (error: unknown) => {
    failed.abort(error)
    await Promise.allSettled(workers)
    const tokens = [...paid].reduce((sum, index) => sum + tokensOf(index), 0)
    if (tokens === 0) work.onRefused()
    else work.onPartly({ prompt_tokens: tokens, completion_tokens: 0, total_tokens: tokens })
    throw error
  })
  const vectors = results.flatMap((result) => result.vectors)
  if (new Set(vectors.map(({ length }) => length)).size > 1)
    throw new ProviderFault('provider_error', 'The provider sent vectors of different lengths')
  return {
    vectors,
    estimated: results.some(({ promptTokens }) => promptTokens === undefined),
    promptTokens: batches.reduce((sum, _texts, index) => sum + tokensOf(index), 0),
  }
}

/** For providers that do not count, and for what ended before they told. */
export function estimateTokens(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Math.max(1, Math.ceil(text.length / CHARS_PER_TOKEN)), 0)
}

function assertFits(answerBytes: number): void {
  if (answerBytes <= MAX_ANSWER_BYTES) return
  throw new ProviderFault(
    'request_too_large',
    'The vectors of so many texts do not fit in one answer; send fewer at once',
  )
}

function batchesOf(input: readonly string[], size: number): string[][] {
  const batches: string[][] = []
  let batch: string[] = []
  let chars = 0
  for (const text of input) {
    if (batch.length === size || (batch.length > 0 && chars + text.length > MAX_CHARS)) {
      batches.push(batch)
      batch = []
      chars = 0
    }
    batch.push(text)
    chars += text.length
  }
  return [...batches, batch]
}

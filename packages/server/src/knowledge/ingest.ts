/** How a text becomes an item with chunks and vectors. */
import { VestryError } from '@vestry/contract/errors'
import type { Chunk } from './document.ts'
import type { Embedder } from './embedder.ts'
import type { StoredChunk } from './item.ts'

/** Cuts a text that came in into pieces that are found by themselves. */
export type Chunker = (text: string) => readonly Chunk[]

/** Chunks that are embedded before the answer; more are left to the journal. */
export const EMBEDDED_AT_ONCE = 4
/** Who adds something waits no longer for its vectors; a model that is being loaded takes longer. */
export const AT_ONCE_MS = 3_000
/** Chunks that are kept together: so much is done again after a crash. */
export const BATCH = 16
/** Of one request to an embedder, and more for each text: a small machine does four in a second. */
const EMBED_MS = 20_000
const EMBED_TEXT_MS = 1_000

export function chunksOf(content: string, chunk: Chunker): StoredChunk[] {
  const pieces = chunk(content).filter(({ text }) => text.trim() !== '')
  const all = pieces.length === 0 ? [{ text: content, heading: '' }] : pieces
  return all.map(({ text, heading }, seq) => ({ seq, text, heading, vector: undefined }))
}

/** What is embedded of a chunk: the headings above it say what it is about. */
export function embeddedText({ text, heading }: Pick<StoredChunk, 'text' | 'heading'>): string {
  return (heading === '' ? text : `${heading}\n${text}`).slice(0, 8_192).toWellFormed()
}

/** @throws VestryError EMBEDDER_UNAVAILABLE, TIMEOUT, and what the embedder throws */
export async function embedTexts(
  embedder: Embedder,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<readonly Float32Array[]> {
  const limit = AbortSignal.timeout(EMBED_MS + EMBED_TEXT_MS * texts.length)
  let vectors: readonly Float32Array[]
  try {
    vectors = await embedder.embed(texts, AbortSignal.any([signal, limit]))
  } catch (error) {
    if (limit.aborted && !signal.aborted)
      throw new VestryError('EMBEDDER_UNAVAILABLE', `${embedder.name} did not answer in time`)
    throw error
  }
  if (vectors.length !== texts.length || vectors.some((one) => one.length !== embedder.dimension))
    throw new VestryError('EMBEDDER_UNAVAILABLE', `${embedder.name} answered with other vectors`)
  return vectors
}

/** @throws VestryError DIMENSION_MISMATCH, VALIDATION_ERROR */
export function suppliedVector(numbers: readonly number[], { dimension }: Embedder): Float32Array {
  if (numbers.length !== dimension)
    throw new VestryError(
      'DIMENSION_MISMATCH',
      `The embedding has ${numbers.length} dimensions, the index has ${dimension}`,
    )
  const length = Math.hypot(...numbers)
  if (!Number.isFinite(length) || length === 0)
    throw new VestryError('VALIDATION_ERROR', 'embedding: must be finite numbers, not all zero')
  return Float32Array.from(numbers, (one) => one / length)
}

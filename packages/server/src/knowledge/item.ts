/** What knowledge is kept as, and the bounds of it. Shapes and pure rules only. */
import { hash } from 'node:crypto'

export const MAX_CONTENT_BYTES = 1_048_576
export const MAX_QUERY_CHARS = 8_192
export const LABEL = /^[a-z0-9_.-]{1,64}$/
export const MAX_LABELS = 16

/** All items of one owner, of one kind of source and with the same labels: what policy is asked about. */
export interface KnowledgeClass {
  readonly id: string
  /** Name of an agent; undefined for shared knowledge. */
  readonly owner: string | undefined
  /** Whose it is: the name may be another agent's by now. */
  readonly ownerId: string | undefined
  readonly sourceType: string
  /** Sorted, without repetition. */
  readonly labels: readonly string[]
}

export interface KnowledgeItem {
  readonly id: string
  readonly class: KnowledgeClass
  readonly source: string
  readonly content: string
  /** As its owner gave it, without what the columns say. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** Id of what embedded it; empty until all of it is embedded. */
  readonly embedder: string
  /** Epoch ms. */
  readonly timestamp: number
  readonly createdAt: number
  readonly updatedAt: number
}

export interface StoredChunk {
  readonly seq: number
  readonly text: string
  readonly heading: string
  readonly vector: Float32Array | undefined
}

/** One class has one id, on every node. */
export function classOf(
  owner: { readonly id: string; readonly name: string } | undefined,
  sourceType: string,
  labels: readonly string[],
): KnowledgeClass {
  const sorted = [...new Set(labels)].sort()
  const named = JSON.stringify([owner?.id ?? '', owner?.name ?? '', sourceType, sorted])
  return {
    id: `kc_${hash('sha256', named).slice(0, 32)}`,
    owner: owner?.name,
    ownerId: owner?.id,
    sourceType,
    labels: sorted,
  }
}

/** Two texts that differ in white space, width or composition are the same text. */
export function normalised(text: string): string {
  return text.normalize('NFKC').replace(/\s+/gu, ' ').trim()
}

/** A view of what the driver gave, or a copy where it is not aligned. */
export function vectorOf(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes)
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2)
}

export function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)
}

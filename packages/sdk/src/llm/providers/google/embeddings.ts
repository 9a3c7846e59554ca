/** Gemini's embeddings: one content per text, a hundred texts in one call. */
import { malformed } from '../fault.ts'
import { countOf, isObject, listOf, objectOf } from '../json.ts'
import type { EmbeddingsTranslation } from '../provider.ts'
import { vectorsOf } from '../vectors.ts'
import { modelPath } from './request.ts'

const MOST_INPUTS = 100

export const googleEmbeddings: EmbeddingsTranslation = {
  maxInputs: MOST_INPUTS,
  request: (model, inputs, { dimensions }) => ({
    path: `${modelPath(model)}:batchEmbedContents`,
    body: {
      requests: inputs.map((text) => ({
        model: `models/${model}`,
        content: { parts: [{ text }] },
        ...(dimensions !== undefined && { outputDimensionality: dimensions }),
      })),
    },
  }),
  read: (body, count) => {
    if (!isObject(body)) throw malformed('embeddings that are not a JSON object')
    const vectors = listOf(body['embeddings']).map((entry) => objectOf(entry)['values'])
    const promptTokens = countOf(objectOf(body['usageMetadata'])['promptTokenCount'])
    return { vectors: vectorsOf(vectors, count), promptTokens }
  },
}

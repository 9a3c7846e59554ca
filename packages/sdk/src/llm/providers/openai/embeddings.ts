/** Embeddings of OpenAI and of servers with its API. */
import { malformed } from '../fault.ts'
import { countOf, isObject, listOf, objectOf } from '../json.ts'
import type { EmbeddingsTranslation } from '../provider.ts'
import { vectorsOf } from '../vectors.ts'

/** @param maxInputs OpenAI's own limit, unless a server has another. */
export function openAiEmbeddings(maxInputs = 2048): EmbeddingsTranslation {
  return {
    maxInputs,
    request: (model, inputs, { dimensions, user }) => ({
      path: '/embeddings',
      body: {
        model,
        input: [...inputs],
        encoding_format: 'float',
        ...(dimensions !== undefined && { dimensions }),
        ...(user !== undefined && user !== '' && { user }),
      },
    }),
    read: (body, count) => {
      if (!isObject(body)) throw malformed('embeddings that are not a JSON object')
      const data = listOf(body['data']).map(objectOf)
      const ordered = new Array<unknown>(data.length)
      data.forEach((entry, at) => {
        const index = entry['index'] ?? at
        if (typeof index !== 'number' || !(index in data) || ordered[index] !== undefined) {
          throw malformed('embeddings whose indexes are not 0 to n - 1')
        }
        ordered[index] = entry['embedding']
      })
      const promptTokens = countOf(objectOf(body['usage'])['prompt_tokens'])
      return { vectors: vectorsOf(ordered, count), promptTokens }
    },
  }
}

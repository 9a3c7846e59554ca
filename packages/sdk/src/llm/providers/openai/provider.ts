/** OpenAI: the shapes are ours already, so little more than repairs. */
import type { Provider } from '../provider.ts'
import { openAiEmbeddings } from './embeddings.ts'
import { readOpenAiError } from './errors.ts'
import { openAiChat } from './request.ts'
import { readOpenAiChat } from './response.ts'
import { OPENAI_ROW } from './row.ts'
import { OpenAiStream } from './stream.ts'

export const openai: Provider = {
  id: OPENAI_ROW.provider,
  baseUrl: OPENAI_ROW.directBaseUrl,
  prefixes: OPENAI_ROW.prefixes,
  auth: { header: 'authorization', prefix: 'Bearer ' },
  headers: {},
  chat: openAiChat,
  readChat: readOpenAiChat,
  chatStream: (request, scope) => new OpenAiStream(OPENAI_ROW.provider, request, scope),
  embeddings: openAiEmbeddings(),
  readError: (status, headers, body) => readOpenAiError(OPENAI_ROW.provider, status, headers, body),
}
